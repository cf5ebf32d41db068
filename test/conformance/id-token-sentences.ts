import { NotUnderstood } from './case.ts'
import { secondsIn } from './sentences.ts'
import type { Misbehaviour } from '../helpers/misbehaving-provider.ts'
import { createKey } from '../helpers/signing-keys.ts'

/** What is wrong with an ID token, for a client at a time (epoch seconds). */
export type IdTokenVariant = (context: { clientId: string, now: number }) => Misbehaviour

/** `margin`: seconds by which the sentence's tolerance is larger than ours. */
type Meaning = (context: { clientId: string, now: number, margin: number }) => Misbehaviour

const OTHER = 'another-client'
/** Seconds that the plugin lets two clocks differ. */
const SKEW = 60

const claims = (change: Record<string, unknown>): Meaning => () => ({ claims: change })

/** A piece of a sentence → what it means; several where it leaves a choice. */
const PHRASES: [RegExp, (...words: string[]) => Meaning[]][] = [
  [
    /^any of ([\w ,]+?) (?:is )?(?:missing|absent)$/,
    names =>
      names!
        .split(/[ ,]+/)
        .filter(name => !['and', 'or'].includes(name))
        .map(name => claims({ [name]: undefined }))
  ],
  [
    /^(?:(?:no|without(?: an?)?) (\w+)|(\w+) (?:claim )?(?:is )?(?:missing|absent|null))(?: (?:claim|from|in|although|where|while) .+)?$/,
    (first, second) => [claims({ [first ?? second!]: undefined })]
  ],
  [
    /^aud (?:(?:does not contain|lacks|is not) (?:the )?client_id|(?:is|names) (?:an)?other client)$/,
    () => [claims({ aud: OTHER })]
  ],
  [/^aud (?:is|contains) (?:the )?client_id$/, () => [claims({})]],
  [/^(?:two|several|multiple) audiences$/, () => [({ clientId }) => ({ claims: { aud: [clientId, OTHER] } })]],
  [
    /^azp (?:(?:is|names) )?(?:an)?other(?: client)?$|^azp (?:is not|differs from) (?:the )?client_id$/,
    () => [claims({ azp: OTHER })]
  ],
  [/^azp (?:is|equals) (?:the )?client_id$/, () => [({ clientId }) => ({ claims: { azp: clientId } })]],
  [
    /^iss(?:uer)? (?:is another(?: issuer)?|differs.*|mismatch.*|(?:does not match|is not) .*)$/,
    () => [claims({ iss: 'https://other.example' })]
  ],
  [
    /^exp(?:ires|ired)?(?: at)? (\d+ ?\w+) (?:ago|in the past)$/,
    time => [({ now, margin }) => ({ claims: { iat: now - 7200, exp: now - secondsIn(time!) + margin } })]
  ],
  [
    /^(?:iat|issued)(?: at)? (\d+ ?\w+) (?:ahead|in the future)(?: of .+)?$/,
    time => [({ now, margin }) => ({ claims: { iat: now + secondsIn(time!) - margin } })]
  ],
  [
    /^nonce in id_token differs from the one sent at login$|^nonce (?:differs|is another).*$/,
    () => [claims({ nonce: 'another-nonce' })]
  ],
  [
    /^(?:signed (?:with|by) (?:an)?other key|(?:bad|wrong|invalid) signature|signature (?:is )?(?:wrong|invalid|does not match))$/,
    () => [() => ({ signedBy: { ...createKey(), kid: 'unknown' } })]
  ],
  [
    /^(?:alg(?:orithm)? (?:is )?HS256|signed with the (?:client )?secret|HMAC)$/,
    () => [() => ({ signedBy: { hmac: 'secret' }, header: { alg: 'HS256' } })]
  ],
  [/^(\w+) (?:is )?(?:empty|blank)$/, name => [claims({ [name!]: '' })]],
  [/^at_hash (?:is )?(?:wrong|invalid|does not match.*)$/, () => [claims({ at_hash: 'wrong' })]],
  [/^(?:alg(?:orithm)? (?:is )?none|unsigned|not signed)$/, () => [() => ({ signedBy: 'none' })]],
  [/^(?:all|everything|every claim)? ?(?:valid|good|right|fine|as it should be)$/, () => [() => ({})]]
]

/**
 * What a sentence about an ID token means: `two audiences and no azp`, `exp 10 s ago, skew 60 s`.
 * @throws NotUnderstood where a piece of it has no translation
 */
export function claimVariants (sentence: string): IdTokenVariant[] {
  let variants: Meaning[] = [() => ({})]
  // Ours is no option: where another one is given, times keep their distance from its end.
  let skew = SKEW
  for (const piece of piecesOf(sentence)) {
    const [, none, time] = /^(?:(no|zero|without) )?(?:clock )?skew(?: of| is)? ?(\d+ ?\w+|0)?$/.exec(piece) ?? []
    if (none !== undefined || time !== undefined) {
      skew = time === undefined || time === '0' ? 0 : secondsIn(time)
      continue
    }
    const found = meaningOf(piece)
    if (found === undefined) throw new NotUnderstood(`given.id_token "${sentence}"`)
    variants = variants.flatMap(variant => found.map(other => both(variant, other)))
  }
  return variants.map(variant => context => variant({ ...context, margin: skew - SKEW }))
}

// A list of names has commas, and "and", of its own.
const piecesOf = (sentence: string) =>
  sentence.startsWith('any of ')
    ? [sentence]
    : sentence.split(/, (?:and )?| and (?!sub |aud |exp |iat )| with (?=.*skew)/).map(piece => piece.trim())

function meaningOf (piece: string): Meaning[] | undefined {
  for (const [pattern, variants] of PHRASES) {
    const match = pattern.exec(piece)
    if (match !== null) return variants(...match.slice(1) as string[])
  }
  return undefined
}

function both (first: Meaning, second: Meaning): Meaning {
  return (context) => {
    const [a, b] = [first(context), second(context)]
    return { ...a, ...b, claims: { ...a.claims, ...b.claims } }
  }
}
