import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify, type JWTPayload } from 'jose'
import { hash, randomBytes } from 'node:crypto'

/** What a proof has to fit. */
export interface ProvenRequest {
  readonly proof: string | string[] | undefined
  readonly method: string
  /** Without the query. */
  readonly url: string
  readonly accessToken: string
  /** Thumbprint of the key that the token is bound to. */
  readonly jkt: string
}

/** Checks DPoP proofs as RFC 9449, section 4.3 has it: by jose, and each `jti` once. */
export class DpopVerifier {
  /** The claims of every proof that was taken, in order. */
  readonly proofs: JWTPayload[] = []
  /** What a proof has to have; undefined where none is needed. A test that sets another one rotates it. */
  nonce: string | undefined
  /** Each nonce is good for one request. */
  nonceOnce = false
  readonly #seen = new Set<string>()

  /** Turns nonces on, or takes another one. */
  rotate (): void { this.nonce = randomBytes(12).toString('base64url') }

  /** Why a proof is refused; undefined where it is good. */
  async refuses ({ proof, method, url, accessToken, jkt }: ProvenRequest): Promise<string | undefined> {
    if (typeof proof !== 'string') return 'invalid_dpop_proof'
    try {
      const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
        algorithms: ['ES256'], typ: 'dpop+jwt', requiredClaims: ['jti', 'htm', 'htu', 'iat', 'ath']
      })
      const { jwk } = protectedHeader
      if (jwk === undefined || 'd' in jwk) return 'invalid_dpop_proof'
      if (await calculateJwkThumbprint(jwk) !== jkt) return 'invalid_token'
      if (payload.htm !== method || payload.htu !== url) return 'invalid_dpop_proof'
      if (payload.ath !== hash('sha256', accessToken, 'base64url')) return 'invalid_dpop_proof'
      if (this.nonce !== undefined && payload.nonce !== this.nonce) return 'use_dpop_nonce'
      // A nonce says as much as the clock.
      if (this.nonce === undefined && Math.abs(Date.now() / 1000 - payload.iat!) > 60) return 'invalid_dpop_proof'
      if (this.#seen.has(payload.jti!)) return 'invalid_dpop_proof'
      this.#seen.add(payload.jti!)
      this.proofs.push(payload)
      if (this.nonceOnce) this.rotate()
    } catch {
      return 'invalid_dpop_proof'
    }
  }
}
