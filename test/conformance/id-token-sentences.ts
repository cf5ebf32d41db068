import { NotUnderstood } from './case.ts'
import { createKey, type Misbehaviour } from '../helpers/misbehaving-provider.ts'

/** What is wrong with an ID token, for a client at a time (epoch seconds). */
export type IdTokenVariant = (context: { clientId: string, now: number }) => Misbehaviour

const OTHER = 'another-client'
/** Seconds that the plugin lets two clocks differ. */
const SKEW = 60

const claims = (change: Record<string, unknown>): IdTokenVariant => () => ({ claims: change })

/** A piece of a sentence → what it means; several where it leaves a choice. */
const PHRASES: [RegExp, (...words: string[]) => IdTokenVariant[]][] = [
  [/^any of ([\w ,]+?) (?:is )?(?:missing|absent)$/, names => names!.split(/[ ,]+/).filter(name => !['and', 'or'].includes(name)).map(name => claims({ [name]: undefined }))],
  [/^(?:no (\w+)|(\w+) (?:is )?(?:missing|absent|null))$/, (first, second) => [claims({ [first ?? second!]: undefined })]],
  [/^aud (?:does not contain|lacks|is not) (?:the )?client_id$/, () => [claims({ aud: OTHER })]],
  [/^aud (?:is|contains) (?:the )?client_id$/, () => [claims({})]],
  [/^(?:two|several|multiple) audiences$/, () => [({ clientId }) => ({ claims: { aud: [clientId, OTHER] } })]],
  [/^azp (?:is|names) another client$|^azp (?:is not|differs from) (?:the )?client_id$/, () => [claims({ azp: OTHER })]],
  [/^azp (?:is|equals) (?:the )?client_id$/, () => [({ clientId }) => ({ claims: { azp: clientId } })]],
  [/^iss(?:uer)? (?:is another(?: issuer)?|differs.*|(?:does not match|is not) .*)$/, () => [claims({ iss: 'https://other.example' })]],
  [/^(?:exp|expired) (\d+) s ago$/, seconds => [({ now }) => ({ claims: { iat: now - 3600, exp: now - Number(seconds) } })]],
  [/^iat (\d+) s (?:ahead|in the future)$/, seconds => [({ now }) => ({ claims: { iat: now + Number(seconds) } })]],
  [/^nonce in id_token differs from the one sent at login$|^nonce (?:differs|is another).*$/, () => [claims({ nonce: 'another-nonce' })]],
  [/^(?:signed (?:with|by) (?:an)?other key|(?:bad|wrong|invalid) signature|signature (?:is )?(?:wrong|invalid|does not match))$/, () => [() => ({ signedBy: { ...createKey(), kid: 'unknown' } })]],
  [/^(?:alg(?:orithm)? (?:is )?none|unsigned|not signed)$/, () => [() => ({ signedBy: 'nobody' })]],
  [/^(?:all|everything|every claim)? ?(?:valid|good|right|fine|as it should be)$/, () => [() => ({})]]
]

/**
 * What a sentence about an ID token means: `two audiences and no azp`, `exp 10 s ago, skew 60 s`.
 * @throws NotUnderstood where a piece of it has no translation
 */
export function claimVariants (sentence: string): IdTokenVariant[] {
  let variants: IdTokenVariant[] = [() => ({})]
  for (const piece of piecesOf(sentence)) {
    const found = meaningOf(piece)
    if (found === undefined) throw new NotUnderstood(`given.id_token "${sentence}"`)
    variants = variants.flatMap(variant => found.map(other => both(variant, other)))
  }
  return variants
}

// A list of names has commas, and "and", of its own.
const piecesOf = (sentence: string) => sentence.startsWith('any of ') ? [sentence] : sentence.split(/, (?:and )?| and (?!sub |aud |exp |iat )/).map(piece => piece.trim())

function meaningOf (piece: string): IdTokenVariant[] | undefined {
  const skew = /^skew (\d+) s$/.exec(piece)
  // Ours is no option: only what fits it can be tried.
  if (skew !== null) return Number(skew[1]) === SKEW ? [() => ({})] : undefined
  for (const [pattern, variants] of PHRASES) {
    const match = pattern.exec(piece)
    if (match !== null) return variants(...match.slice(1) as string[])
  }
  return undefined
}

function both (first: IdTokenVariant, second: IdTokenVariant): IdTokenVariant {
  return (context) => {
    const [a, b] = [first(context), second(context)]
    return { ...a, ...b, claims: { ...a.claims, ...b.claims } }
  }
}
