import { generateKeyPairSync, randomUUID, type JsonWebKey, type KeyObject } from 'node:crypto'

export interface SigningKey {
  readonly kid: string
  readonly alg: 'RS256' | 'ES256'
  readonly privateKey: KeyObject
}

// Once a process: an RSA key takes longer to find than a whole login.
export const signingKeys: readonly [SigningKey, SigningKey] = [
  { kid: randomUUID(), alg: 'RS256', privateKey: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey },
  { kid: randomUUID(), alg: 'ES256', privateKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey },
]

/** The JWK Set, private members included: oidc-provider publishes the public half. */
export function privateJwks (): { keys: JsonWebKey[] } {
  return {
    keys: signingKeys.map(({ kid, alg, privateKey }) => ({
      ...privateKey.export({ format: 'jwk' }),
      kid,
      alg,
      use: 'sig'
    }))
  }
}
