import { createHash, createPublicKey, type JsonWebKey, KeyObject } from 'node:crypto'
import type { CryptoKey, JWK } from 'jose'
import { isNonEmptyText } from '../util/is-text.ts'
import { fitsProfile } from './algorithms.ts'
import { assertUsable, isCryptoKey, isJwk, KeyProblem, readPrivateKey } from './private-key.ts'

/** A private key of the client: PEM, a JWK, a KeyObject of node:crypto, or a CryptoKey. */
export type ClientKeyMaterial = string | JWK | JsonWebKey | KeyObject | CryptoKey

/** A private key of the client, with its settings. */
export interface ClientKeyOptions {
  /** The private key. */
  key: ClientKeyMaterial
  /** Its id in JOSE headers and in `jwks()`. Default the JWK's own, else its thumbprint (RFC 7638). */
  kid?: string
  /**
   * The one algorithm that it is used with. Default the JWK's own, else one that fits the key and the provider's
   * metadata: RS256 or PS256, ES256, ES384, ES512, EdDSA; for `enc` RSA-OAEP-256 or ECDH-ES.
   */
  alg?: string
  /** Whether it signs, or decrypts what the provider encrypts. Default what JWK or `alg` say, else `sig`. */
  use?: 'sig' | 'enc'
}

/** One of `clientKeys`. */
export type ClientKeyInput = ClientKeyMaterial | ClientKeyOptions

/** The public half of a key of the client's (RFC 7517, section 4); `alg` if it is used with one alone. */
export type ClientJwk = JWK & { kid: string, use: 'sig' | 'enc' }

/** A key of the client's, read and checked. */
export interface ClientKey {
  /** The private key. */
  readonly key: KeyObject
  readonly kid: string
  /** The algorithm that it is used with, if the provider's metadata asks for no other one. */
  readonly alg: string
  /** The algorithms that it may be used with, `alg` first; that one alone if it was given. */
  readonly algorithms: readonly string[]
  readonly use: 'sig' | 'enc'
  /** What tells the provider which key it is: `kid`, `x5t`, `x5t#S256` (RFC 7515, section 4.1). */
  readonly header: Readonly<Record<string, string>>
  readonly publicJwk: Readonly<ClientJwk>
}

/** Members of a JWK that are about its certificate, and public (RFC 7517, sections 4.6 to 4.9). */
const CERTIFICATE_MEMBERS = ['x5u', 'x5c', 'x5t', 'x5t#S256'] as const

const RSA = ['RS256', 'PS256', 'RS384', 'RS512', 'PS384', 'PS512']
const RSA_OAEP = ['RSA-OAEP-256', 'RSA-OAEP', 'RSA-OAEP-384', 'RSA-OAEP-512']
const ECDH = ['ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A192KW', 'ECDH-ES+A256KW']
/** Kind of key → its algorithms by use, the usual one first (RFC 7518, sections 3.1 and 4.1; RFC 8037). */
const ALGORITHMS: Record<string, Record<ClientKey['use'], readonly string[]>> = {
  rsa: { sig: RSA, enc: RSA_OAEP },
  prime256v1: { sig: ['ES256'], enc: ECDH },
  secp384r1: { sig: ['ES384'], enc: ECDH },
  secp521r1: { sig: ['ES512'], enc: ECDH },
  ed25519: { sig: ['EdDSA', 'Ed25519'], enc: [] },
  x25519: { sig: [], enc: ECDH }
}

const WRITE_ONE = 'write a private key as PEM, JWK or KeyObject, or { key, kid, alg, use }'

/**
 * Reads `clientKeys`: one key, or a list of them.
 * @param report gets what is wrong: the index of the key (undefined if there is no list) and a text
 * @returns those that can be used, in their order
 */
export function parseClientKeys (
  value: unknown, report: (index: number | undefined, problem: string) => void = () => {}
): readonly ClientKey[] {
  if (value === undefined) return []
  const keys = new Map<string, ClientKey>()
  // `entries` of a list sees holes too.
  for (const [at, entry] of (Array.isArray(value) ? value : [value]).entries()) {
    const index = Array.isArray(value) ? at : undefined
    try {
      const key = parseKey(entry)
      if (keys.has(key.kid)) throw new KeyProblem('has the `kid` of another one; give each key a `kid` of its own')
      keys.set(key.kid, key)
    } catch (error) {
      if (!(error instanceof KeyProblem)) throw error
      report(index, error.message)
    }
  }
  if (keys.size === 0 && Array.isArray(value) && value.length === 0) report(undefined, `is empty; ${WRITE_ONE}`)
  return Object.freeze([...keys.values()])
}

/** The key that the client signs with: the first one for signatures. */
export function signingKeyOf (keys: readonly ClientKey[]): ClientKey | undefined {
  return keys.find(({ use }) => use === 'sig')
}

/**
 * The algorithm that a key signs with at a provider.
 * @param supported those that the provider's metadata names, if any
 */
export function algorithmAt ({ alg, algorithms }: ClientKey, supported: unknown): string {
  if (!Array.isArray(supported)) return alg
  return algorithms.find(algorithm => supported.includes(algorithm)) ?? alg
}

/** The keys, with the algorithms of FAPI 2.0 alone; one for which nothing is left signs no more. */
export function keysForProfile (keys: readonly ClientKey[]): readonly ClientKey[] {
  return keys.flatMap((clientKey) => {
    if (clientKey.use === 'enc') return clientKey
    const algorithms = clientKey.algorithms.filter(fitsProfile)
    const [alg] = algorithms
    if (alg === undefined) return []
    const publicJwk = { ...clientKey.publicJwk, ...(algorithms.length === 1 && { alg }) }
    return Object.freeze({ ...clientKey, alg, algorithms, publicJwk })
  })
}

/** The public halves, for a JWK set that the provider reads (RFC 7517, section 5). */
export function publicKeySet (keys: readonly ClientKey[]): { keys: ClientJwk[] } {
  return { keys: keys.map(({ publicJwk }) => ({ ...publicJwk })) }
}

function parseKey (entry: unknown): ClientKey {
  if (entry === undefined) {
    throw new KeyProblem(`is undefined: an environment variable that is not set? ${upper(WRITE_ONE)}`)
  }
  const { material, ...given } = readEntry(entry)
  const key = readPrivateKey(material)
  const jwk = isJwk(material) ? material : {}
  const pinned = isCryptoKey(material) ? algorithmOf(material) : undefined
  if (given.alg !== undefined && pinned !== undefined && given.alg !== pinned) {
    throw new KeyProblem(`has the alg ${shown(given.alg)}, and its CryptoKey is for ${pinned} alone`)
  }
  const wanted = given.alg ?? pinned ?? memberOf(jwk, 'alg')
  const kind = key.asymmetricKeyType === 'ec' ? key.asymmetricKeyDetails?.namedCurve : key.asymmetricKeyType
  const possible = ALGORITHMS[kind ?? '']
  if (possible === undefined) {
    throw new KeyProblem(`is a key of the kind ${shown(kind)}; use RSA, EC P-256, P-384 or P-521, Ed25519 or X25519`)
  }
  const use = given.use ?? useOf(jwk) ?? impliedUse(possible, wanted)
  const algorithms = possible[use]
  if (algorithms.length === 0) throw new KeyProblem(`is a key of the kind ${kind}, which has no use as '${use}'`)
  if (wanted !== undefined && !algorithms.includes(wanted)) {
    const fitting = algorithms.join(', ')
    throw new KeyProblem(`has the alg ${shown(wanted)}, which does not fit the key; with use '${use}': ${fitting}`)
  }
  const publicKey = createPublicKey(key)
  assertUsable(key, publicKey)
  const publicJwk = publicKey.export({ format: 'jwk' }) as JWK
  const kid = given.kid ?? memberOf(jwk, 'kid') ?? thumbprintOf(publicJwk)
  const usable = wanted === undefined ? algorithms : [wanted]
  const [alg] = usable as [string]
  const certificate = Object.fromEntries(
    CERTIFICATE_MEMBERS.filter(name => jwk[name] !== undefined).map(name => [name, jwk[name]])
  )
  const { x5t, 'x5t#S256': x5tS256 } = jwk
  return Object.freeze({
    key,
    kid,
    alg,
    algorithms: Object.freeze([...usable]),
    use,
    header: Object.freeze({
      kid,
      ...(typeof x5t === 'string' && { x5t }),
      ...(typeof x5tS256 === 'string' && { 'x5t#S256': x5tS256 })
    }),
    publicJwk: Object.freeze({ ...publicJwk, ...certificate, kid, use, ...(usable.length === 1 && { alg }) })
  })
}

function readEntry (entry: unknown): { material: unknown, kid?: string, alg?: string, use?: 'sig' | 'enc' } {
  const isMaterial =
    typeof entry !== 'object' || entry === null || isJwk(entry) || isCryptoKey(entry) || entry instanceof KeyObject
  if (isMaterial) return { material: entry }
  const { key, kid, alg, use, ...unknown } = entry as Record<string, unknown>
  const [other] = Object.keys(unknown)
  if (other !== undefined) {
    throw new KeyProblem(`${key === undefined ? 'is no private key' : `has a member ${shown(other)}`}; ${WRITE_ONE}`)
  }
  if (key === undefined) throw new KeyProblem(`has no key; ${WRITE_ONE}`)
  if (kid !== undefined && !isNonEmptyText(kid)) throw new KeyProblem('has a `kid` that is no text')
  if (alg !== undefined && !isNonEmptyText(alg)) throw new KeyProblem('has an `alg` that is no text')
  if (use !== undefined && use !== 'sig' && use !== 'enc') {
    throw new KeyProblem("has a `use` that is not 'sig' or 'enc'")
  }
  return {
    material: key,
    ...(kid !== undefined && { kid }),
    ...(alg !== undefined && { alg }),
    ...(use !== undefined && { use })
  }
}

/** RFC 7638, section 3: the required members, in the order of their names. */
function thumbprintOf ({ kty, crv, x, y, e, n }: JWK): string {
  const members = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x }
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url')
}

function impliedUse (possible: Record<ClientKey['use'], readonly string[]>, alg: string | undefined): ClientKey['use'] {
  const isEnc = alg === undefined ? possible.sig.length === 0 : possible.enc.includes(alg)
  return isEnc ? 'enc' : 'sig'
}

function useOf (jwk: JWK): ClientKey['use'] | undefined {
  const use = memberOf(jwk, 'use')
  if (use === undefined || use === 'sig' || use === 'enc') return use
  throw new KeyProblem("is a JWK whose `use` is not 'sig' or 'enc'")
}

function memberOf (jwk: JWK, name: 'alg' | 'kid' | 'use'): string | undefined {
  const value: unknown = jwk[name]
  if (value === undefined || isNonEmptyText(value)) return value
  throw new KeyProblem(`is a JWK whose \`${name}\` is no text`)
}

/** What a CryptoKey, which is for one algorithm, signs or decrypts with. */
function algorithmOf ({ algorithm }: CryptoKey): string | undefined {
  const { name, hash, namedCurve } = algorithm as { name: string, hash?: { name: string }, namedCurve?: string }
  const bits = hash?.name.slice('SHA-'.length)
  switch (name) {
    case 'RSASSA-PKCS1-v1_5': return `RS${bits}`
    case 'RSA-PSS': return `PS${bits}`
    case 'RSA-OAEP': return bits === '1' ? 'RSA-OAEP' : `RSA-OAEP-${bits}`
    case 'ECDSA': return { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' }[namedCurve ?? '']
    case 'ECDH': return 'ECDH-ES'
  }
}

const shown = (value: unknown) => JSON.stringify(String(value).slice(0, 30))
const upper = (text: string) => text[0]!.toUpperCase() + text.slice(1)
