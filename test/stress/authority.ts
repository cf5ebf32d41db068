import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import { signingKeys } from '../../lib/testing/signing-keys.ts'
import type { Family, Presentation } from './journal.ts'
import { Random } from './random.ts'

interface Code {
  family: string
  clientId: string
  challenge: string
  nonce: string | undefined
  redirectUri: string
  /** Thumbprint of the key that it is bound to. */
  jkt: string | undefined
  used: boolean
}

interface Issued extends Family {
  secret: string
  /** Number of the refresh token that is good now. */
  current: number
  /** Number of a token set → epoch milliseconds at which its access token ends. */
  access: Map<number, number>
  nonce: string | undefined
}

/** A signed logout token, and the session that it is for; of all sessions of the user where there is none. */
export interface LogoutToken {
  jwt: string
  sid: string | undefined
}

/** Client ids of the two providers that the app knows: one server, to which they are two clients. */
export const CLIENT_IDS = { acme: 'torture', gh: 'torture-gh' }

/** An answer of the token endpoint. */
export interface TokenAnswer {
  status: number
  body: Record<string, unknown>
}

const [, signingKey] = signingKeys
const refusal = (error: string, description: string): TokenAnswer => ({
  status: 400,
  body: { error, error_description: description }
})

/**
 * Issues tokens, and is as strict as a provider can be: every refresh token is good once, and a second use ends its
 * whole family.
 */
export class Authority {
  readonly families = new Map<string, Issued>()
  codesReused = 0
  unknownTokens = 0
  readonly #codes = new Map<string, Code>()
  readonly #logins = new Map<string, number>()
  readonly #issuer: string
  readonly #seed: string | number

  constructor (issuer: string, seed: string | number) {
    this.#issuer = issuer
    this.#seed = seed
  }

  /** Logs a user in at once and returns the code. */
  authorize (subject: string, query: URLSearchParams): string {
    const count = (this.#logins.get(subject) ?? 0) + 1
    this.#logins.set(subject, count)
    const code = randomBytes(16).toString('base64url')
    const challenge = query.get('code_challenge')
    if (challenge === null || query.get('code_challenge_method') !== 'S256') throw new Error('no PKCE challenge')
    this.#codes.set(code, {
      family: `${subject}-${count}`,
      clientId: query.get('client_id') ?? '',
      challenge,
      nonce: query.get('nonce') ?? undefined,
      redirectUri: query.get('redirect_uri') ?? '',
      jkt: query.get('dpop_jkt') ?? undefined,
      used: false
    })
    return code
  }

  /** @param jkt of the proof that came with the request */
  async exchange (form: URLSearchParams, jkt?: string): Promise<TokenAnswer> {
    const value = form.get('code') ?? ''
    const code = this.#codes.get(value)
    if (code === undefined) return refusal('invalid_grant', 'no such code')
    if (code.used) {
      // RFC 6749, section 4.1.2: what the code was exchanged for is revoked.
      this.codesReused++
      const family = this.families.get(code.family)
      if (family !== undefined) this.#revoke(family, 'code reuse')
      return refusal('invalid_grant', 'the code has been used')
    }
    if (code.jkt !== undefined && code.jkt !== jkt) return refusal('invalid_grant', 'the code is bound to another key')
    code.used = true
    const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url')
    if (challenge !== code.challenge || form.get('redirect_uri') !== code.redirectUri) {
      return refusal('invalid_grant', 'wrong code_verifier or redirect_uri')
    }
    const family: Issued = {
      name: code.family,
      subject: code.family.slice(0, code.family.lastIndexOf('-')),
      code: value,
      clientId: code.clientId,
      createdAt: Date.now(),
      presentations: [],
      secret: randomBytes(12).toString('base64url'),
      current: 1,
      access: new Map(),
      nonce: code.nonce,
      ...(jkt !== undefined && { jkt })
    }
    this.families.set(family.name, family)
    return await this.#issue(family)
  }

  /** The family of a refresh token and its number in it; undefined where it was never issued. */
  find (refreshToken: string): { family: Issued, n: number } | undefined {
    const [kind, name, number, secret] = refreshToken.split('.')
    const family = this.families.get(name ?? '')
    const n = Number(number)
    if (kind !== 'r' || family === undefined || family.secret !== secret) return undefined
    return n >= 1 && n <= family.current ? { family, n } : undefined
  }

  async refresh (family: Issued, presentation: Presentation): Promise<TokenAnswer> {
    const { n } = presentation
    if (
      n !== family.current ||
      family.presentations.some(other => other !== presentation && other.n === n && other.outcome === 'rotated')
    ) {
      presentation.outcome = 'reused'
      this.#revoke(family, 'reuse')
      return refusal('invalid_grant', 'the refresh token has been used')
    }
    if (family.revokedAt !== undefined) {
      presentation.outcome = 'revoked'
      return refusal('invalid_grant', 'the grant has been revoked')
    }
    presentation.outcome = 'rotated'
    family.current++
    return await this.#issue(family)
  }

  /** Revokes by grant, as most providers do: any token of a family ends all of it. */
  revoke (token: string): void {
    const [, name, , secret] = token.split('.')
    const family = this.families.get(name ?? '')
    if (family !== undefined && family.secret === secret) this.#revoke(family, 'client')
  }

  /**
   * A logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4): for the session at the provider that a code
   * belongs to, or for all of the user's. The session of a login is its family.
   */
  async logoutToken (subject: string, code?: string): Promise<LogoutToken> {
    const sid = code === undefined ? undefined : this.#codes.get(code)?.family
    const claims = { sid, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }
    const jwt = await new SignJWT(claims)
      .setProtectedHeader({ alg: signingKey.alg, kid: signingKey.kid, typ: 'logout+jwt' })
      .setIssuer(this.#issuer)
      .setSubject(subject)
      .setAudience(CLIENT_IDS.acme)
      .setIssuedAt()
      .setExpirationTime('2m')
      .setJti(randomUUID())
      .sign(signingKey.privateKey)
    return { jwt, sid }
  }

  /** Whose access token it is; undefined where it is not good now. */
  introspect (accessToken: string): Family | undefined {
    const [kind, name, number, secret] = accessToken.split('.')
    const family = this.families.get(name ?? '')
    if (kind !== 'a' || family === undefined || family.secret !== secret || family.revokedAt !== undefined) {
      return undefined
    }
    return (family.access.get(Number(number)) ?? 0) > Date.now() ? family : undefined
  }

  #revoke (family: Issued, by: NonNullable<Family['revokedBy']>): void {
    if (family.revokedAt !== undefined) return
    family.revokedAt = Date.now()
    family.revokedBy = by
  }

  async #issue (family: Issued): Promise<TokenAnswer> {
    const { clientId, name, secret, subject, current: n } = family
    const life = new Random(this.#seed, 'life', name, n).between(1, 3)
    for (const [old, until] of family.access) if (until < Date.now()) family.access.delete(old)
    family.access.set(n, Date.now() + life * 1000)
    const claims = {
      name: `User ${subject}`,
      email: `${subject}@example.com`,
      sid: name,
      ...(n === 1 && family.nonce !== undefined && { nonce: family.nonce })
    }
    const idToken = await new SignJWT(claims)
      .setProtectedHeader({ alg: signingKey.alg, kid: signingKey.kid })
      .setIssuer(this.#issuer)
      .setSubject(subject)
      .setAudience(clientId)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(signingKey.privateKey)
    return {
      status: 200,
      body: {
        access_token: `a.${name}.${n}.${secret}`,
        refresh_token: `r.${name}.${n}.${secret}`,
        token_type: family.jkt === undefined ? 'Bearer' : 'DPoP',
        expires_in: life,
        scope: 'openid profile email',
        id_token: idToken
      }
    }
  }
}
