import { calculateJwkThumbprint, type CryptoKey, importJWK, SignJWT } from 'jose'
import { hash } from 'node:crypto'
import { BoundedMap } from '../util/bounded-map.ts'
import { randomToken } from '../util/random.ts'
import type { DpopKey } from './dpop-key.ts'

/** The algorithm of every key: the one that all servers have. */
export const DPOP_ALGORITHM = 'ES256'
/** Keys that are ready to sign; one more than that is read again when it is used. */
const MAX_IMPORTED = 5_000

/** The request that a proof is for. */
export interface DpopRequest {
  method: string
  /** Without query and fragment. */
  url: string
  /** The token that the request carries; a token request carries none. */
  accessToken?: string | undefined
}

const publicPart = ({ kty, crv, x, y }: DpopKey) => ({ kty, crv, x, y })

/** The value of `dpop_jkt`, which binds an authorization code to the key (RFC 9449, section 10; RFC 7638). */
export async function dpopThumbprint (key: DpopKey): Promise<string> {
  return await calculateJwkThumbprint(publicPart(key))
}

/** By the private part: two keys that differ elsewhere alone are one key. */
const imported = new BoundedMap<string, Promise<CryptoKey>>(MAX_IMPORTED)

function signingKey (key: DpopKey): Promise<CryptoKey> {
  let ready = imported.get(key.d)
  if (ready === undefined) {
    ready = importJWK(key, DPOP_ALGORITHM) as Promise<CryptoKey>
    ready.catch(() => imported.delete(key.d)) // the caller gets the error
    imported.set(key.d, ready)
  }
  return ready
}

/**
 * Makes a proof that the caller has the key, for one request (RFC 9449, section 4.2).
 * @param now epoch seconds
 * @param nonce the nonce that the server asked for
 */
export async function createDpopProof (
  key: DpopKey, { method, url, accessToken }: DpopRequest, now: number, nonce: string | undefined
): Promise<string> {
  const claims = {
    jti: randomToken(),
    htm: method,
    htu: url,
    iat: Math.floor(now),
    ...(nonce !== undefined && { nonce }),
    ...(accessToken !== undefined && { ath: hash('sha256', accessToken, 'base64url') })
  }
  return await new SignJWT(claims)
    .setProtectedHeader({ alg: DPOP_ALGORITHM, typ: 'dpop+jwt', jwk: publicPart(key) })
    .sign(await signingKey(key))
}
