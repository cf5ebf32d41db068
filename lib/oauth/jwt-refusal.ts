import { errors } from 'jose'
import type { OAuthErrorReason } from '../errors.ts'
import { redact } from '../util/redact.ts'

/** Default of `clockTolerance`, in seconds. */
export const CLOCK_TOLERANCE = 60

/**
 * Says why a JWT was refused. It names what mostly causes such an error: clocks, and other names of the same server.
 * @param now epoch seconds
 */
export function describeRefusal (
  error: unknown,
  { now, issuer, clientId }: { now: number, issuer: string | readonly string[], clientId: string }
): string {
  if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
    const time = error.payload[error.claim]
    const said = [time].flat().filter(name => typeof name === 'string').map(name => `"${redact(name)}"`).join(', ')
    if (error.claim === 'iss' && said !== '') {
      const known = [issuer].flat().map(name => `"${name}"`).join(' or ')
      return `it is of issuer ${said}, not of ${known} (another name of the same machine is another issuer); ` +
        'check `issuer`, or write `idTokenIssuer`'
    }
    if (error.claim === 'aud' && said !== '') return `it is for ${said}, not for "${clientId}"; check \`clientId\``
    if (error.claim === 'exp' && typeof time === 'number') return `it expired ${fromNow(time, now)}`
    if (error.claim === 'nbf' && typeof time === 'number') return `it begins to be valid ${fromNow(time, now)}`
    if (error.claim === 'iat' && typeof time === 'number') return `it was issued ${fromNow(time, now)}`
  }
  return error instanceof Error ? error.message : 'it cannot be read'
}

/** How far a time is from now, both in epoch seconds. */
export function fromNow (time: number, now: number): string {
  const seconds = Math.round(Math.abs(time - now))
  const when = time > now ? `${seconds} seconds in the future` : `${seconds} seconds ago`
  return `${when}; is this machine's clock right? (clockTolerance allows for some seconds)`
}

// The claims that are checked by jose.
const CLAIMS = ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'events'] as const

/** The reason that the error of a refused JWT has. */
export function reasonOf (error: unknown): OAuthErrorReason {
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) {
    return CLAIMS.find(claim => claim === error.claim) ?? 'malformed'
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature'
  if (error instanceof errors.JOSEAlgNotAllowed) return 'alg'
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return 'key'
  return 'malformed'
}
