import { sign } from 'node:crypto'
import type { Members } from './case.ts'
import { keyPair } from './client-authentication.ts'

/** An assertion as an app signs it that trades one for tokens (RFC 7523, section 3). */
export function jwt ({ issuer, client_id: id, subject, audience = 'https://as.b/token', now }: Members): string {
  const at = Math.floor(now ?? Date.now() / 1000)
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const input = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode({ iss: issuer ?? id, sub: subject ?? id, aud: audience, iat: at, exp: at + 3600 })}`
  return `${input}.${sign('sha256', Buffer.from(input), keyPair().privateKey).toString('base64url')}`
}
