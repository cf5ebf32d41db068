import { constants, createHash, createHmac, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'

export type Algorithm = 'RS256' | 'PS256' | 'ES256' | 'EdDSA'

export interface SigningKey {
  readonly kid: string
  readonly alg: Algorithm
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** What signs a JWT: a key, an HMAC with these bytes, or nothing. */
export type Signer = SigningKey | { readonly hmac: string | Buffer } | 'none'

const makers: Record<Algorithm, () => { privateKey: KeyObject, publicKey: KeyObject }> = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
}

export function createKey (alg: Algorithm = 'RS256'): SigningKey {
  return { kid: randomUUID(), alg, ...makers[alg]() }
}

const made = new Map<string, SigningKey>()

/** A key of this process, made once: an RSA key takes longer to find than a whole login. */
export function sharedKey (alg: Algorithm, number = 0): SigningKey {
  const name = `${alg} ${number}`
  const key = made.get(name) ?? createKey(alg)
  made.set(name, key)
  return key
}

/** A JWK as it stands in a JWK Set; `kid: undefined` leaves it out. */
export function publicJwk (key: SigningKey, members: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...key.publicKey.export({ format: 'jwk' }), kid: key.kid, alg: key.alg, use: 'sig', ...members }
}

/**
 * A JWT; claims that are a text go into it as they are.
 * @param changes members of its header, over the usual ones: an `alg` here is what it says, not what it is signed with
 */
export function signJwt (
  claims: Record<string, unknown> | string, signer: Signer, changes: Record<string, unknown> = {}
): string {
  const input = `${base64url({ ...headerOf(signer), ...changes })}.${base64url(claims)}`
  return `${input}.${signatureOf(input, signer).toString('base64url')}`
}

function headerOf (signer: Signer) {
  if (signer === 'none') return { alg: 'none' }
  return 'hmac' in signer ? { alg: 'HS256' } : { alg: signer.alg, kid: signer.kid }
}

function signatureOf (input: string, signer: Signer): Buffer {
  if (signer === 'none') return Buffer.alloc(0)
  if ('hmac' in signer) return createHmac('sha256', signer.hmac).update(input).digest()
  const { alg, privateKey: key } = signer
  const data = Buffer.from(input)
  switch (alg) {
    case 'RS256': return sign('sha256', data, key)
    case 'PS256': return sign('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })
    case 'ES256': return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })
    case 'EdDSA': return sign(null, data, key)
  }
}

function base64url (value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

/** OpenID Connect Core, section 3.1.3.6. */
export function halfHash (value: string, alg: Algorithm): string {
  const digest = createHash(alg === 'EdDSA' ? 'sha512' : 'sha256').update(value).digest()
  return digest.subarray(0, digest.length / 2).toString('base64url')
}
