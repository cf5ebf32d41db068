/** ID tokens checked with jose, for contestants that do not check them themselves. */
import { importJWK, jwtVerify, decodeProtectedHeader, type CryptoKey, type JWK, type JWTPayload } from 'jose'
import { request } from 'undici'
import { CLIENT_ID } from './context.ts'

export type CheckIdToken = (idToken: string, nonce?: string) => Promise<JWTPayload>

export function createIdTokenCheck (issuer: string): CheckIdToken {
  const keys = new Map<string, CryptoKey | Uint8Array>()

  async function fetchKeys (): Promise<void> {
    const { body } = await request(`${issuer}/jwks`)
    const jwks = await body.json() as { keys: JWK[] }
    for (const jwk of jwks.keys) keys.set(jwk.kid ?? '', await importJWK(jwk, jwk.alg))
  }

  return async (idToken, nonce) => {
    const { kid = '' } = decodeProtectedHeader(idToken)
    if (!keys.has(kid)) await fetchKeys()
    const options = { issuer, audience: CLIENT_ID, algorithms: ['RS256', 'ES256'] }
    const { payload } = await jwtVerify(idToken, keys.get(kid)!, options)
    if (nonce !== undefined && payload.nonce !== nonce) throw new Error('the nonce is another')
    return payload
  }
}
