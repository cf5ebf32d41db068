import { sign } from 'node:crypto'
import type { Members } from './case.ts'
import { signingKey } from './client-authentication.ts'

/** The members of `given` that such an assertion is made of. */
export const ASSERTION_KEYS = [
  'assertion', 'issuer', 'subject', 'audience', 'issued_at', 'expires_at', 'not_before', 'jwt_id', 'key_id',
  'extra_claims'
]

/**
 * An assertion as an app signs it that trades one for tokens (RFC 7523, section 3); empty where the app lacks what it
 * takes (`null`).
 */
export function jwt (given: Members): string {
  const { client_id: id = 'cid', issuer = id, subject = id, audience = 'https://as.b/token', private_key: key } = given
  if ([issuer, subject, audience, key].includes(null)) return ''
  const at = Math.floor(given.issued_at ?? given.now ?? Date.now() / 1000)
  const header = { alg: 'RS256', typ: 'JWT', kid: given.key_id }
  const claims = {
    iss: issuer,
    sub: subject,
    aud: audience,
    iat: at,
    exp: given.expires_at ?? at + 3600,
    nbf: given.not_before,
    jti: given.jwt_id,
    ...given.extra_claims
  }
  const input = [header, claims].map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${input}.${sign('sha256', Buffer.from(input), signingKey(given)).toString('base64url')}`
}
