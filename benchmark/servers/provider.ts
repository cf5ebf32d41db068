/**
 * A provider of OpenID Connect that logs in at once, another user each time: ID tokens signed with RS256, as most sign,
 * PKCE, refresh tokens that are rotated, and a login that ends when one is seen twice (RFC 9700, section 4.14.2). A
 * token set is about 2.5 KB.
 */
import { createHash, generateKeyPairSync, randomBytes, sign, type KeyPairKeyObjectResult } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'

export interface ProviderSettings {
  /** Seconds that an access token lives. */
  expiresIn: number
  /** In place of it: tokens expire at random times between these, in epoch milliseconds. */
  expiresBetween?: readonly [number, number] | undefined
  /** Milliseconds until a refresh is answered. */
  refreshDelay: number
  /** What ID tokens are signed with: RS256 as by most providers, or ES256, which costs the provider a tenth. */
  algorithm: 'RS256' | 'ES256'
  /** Whether the signatures of ID tokens are wrong. */
  forge: boolean
  /** The user of all logins; without it each login has its own. */
  sub?: string | undefined
}

export interface ProviderCounts {
  codes: number
  refreshes: number
  /** Refreshes with a refresh token that was used already: the login is over. */
  refused: number
  /** Token requests at the same time. */
  peak: number
  /** When each refresh came: epoch milliseconds. */
  times: number[]
}

/** A login at the provider, between its page and the exchange of its code. */
interface Grant { sub: string, nonce?: string | undefined, challenge?: string | undefined, redirectUri: string }
/** The refresh tokens of one login, of which the last one is good. */
interface Family { sub: string, current: string, expiresAt: number, ended: boolean }

const BASIC = `Basic ${Buffer.from('client:secret').toString('base64')}`

export class Provider {
  /** Its address, set when it listens. */
  issuer = ''
  readonly settings: ProviderSettings = { expiresIn: 36_000, refreshDelay: 0, algorithm: 'RS256', forge: false }
  readonly #keys = {
    RS256: createSigningKey('RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })),
    ES256: createSigningKey('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }))
  }

  // The same for all tokens, so that a token's length is right and making it costs nothing.
  readonly #padding = randomBytes(600).toString('base64url')
  readonly #grants = new Map<string, Grant>()
  readonly #families = new Map<string, Family>()
  #counts = noCounts()
  #lastLogin = 0
  /** Refreshes that are not answered yet. */
  #atOnce = 0

  async answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.issuer)
    switch (url.pathname) {
      case '/authorize': return this.#authorize(url, response)
      case '/token': return this.#answerToken(request, response)
      case '/jwks': return json(response, 200, { keys: [this.#keys.RS256.jwk, this.#keys.ES256.jwk] })
      case '/revoke': return json(response, 200, {})
      case '/.well-known/openid-configuration': return json(response, 200, metadata(this.issuer))
      case '/userinfo': {
        const sub = this.userOf(request.headers.authorization)
        if (sub === undefined) return json(response, 401, { error: 'invalid_token' })
        return json(response, 200, { sub, name: 'Alice Adams', email: `${sub}@example.com`, email_verified: true })
      }
      default: return json(response, 404, { error: 'not_found' })
    }
  }

  /** The user of a good access token. */
  userOf (authorization: string | undefined): string | undefined {
    const [id, expiresAt] = /^bearer at\.(\d+)\.(\d+)\./i.exec(authorization ?? '')?.slice(1) ?? []
    const family = this.#families.get(id ?? '')
    return family === undefined || family.ended || Number(expiresAt) < Date.now() ? undefined : family.sub
  }

  /** A login without a browser. */
  issueToken () {
    const { id, family } = this.#createFamily('user-without-browser')
    return { accessToken: this.#tokenSet(id, family).access_token, sub: family.sub }
  }

  /** What was counted since the last time. */
  takeCounts (): ProviderCounts {
    const taken = this.#counts
    this.#counts = noCounts()
    return taken
  }

  #authorize ({ searchParams }: URL, response: ServerResponse): void {
    const code = randomBytes(24).toString('base64url')
    const redirectUri = searchParams.get('redirect_uri') ?? ''
    this.#grants.set(code, {
      sub: this.settings.sub ?? `user-${randomBytes(8).toString('hex')}`,
      nonce: searchParams.get('nonce') ?? undefined,
      challenge: searchParams.get('code_challenge') ?? undefined,
      redirectUri
    })
    const location = new URL(redirectUri)
    location.searchParams.set('code', code)
    location.searchParams.set('state', searchParams.get('state') ?? '')
    response.writeHead(302, { location: location.href }).end()
  }

  async #answerToken (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const params = new URLSearchParams(await text(request))
    if (request.headers.authorization !== BASIC && params.get('client_secret') !== 'secret') {
      return json(response, 401, { error: 'invalid_client' })
    }
    const isLogin = params.get('grant_type') === 'authorization_code'
    const tokens = isLogin ? this.#exchange(params) : await this.#refresh(params)
    return tokens === undefined ? json(response, 400, { error: 'invalid_grant' }) : json(response, 200, tokens)
  }

  #exchange (params: URLSearchParams) {
    this.#counts.codes++
    const code = params.get('code') ?? ''
    const grant = this.#grants.get(code)
    this.#grants.delete(code)
    if (grant === undefined || grant.redirectUri !== params.get('redirect_uri')) return undefined
    const challenge = createHash('sha256').update(params.get('code_verifier') ?? '').digest('base64url')
    if (grant.challenge !== undefined && grant.challenge !== challenge) return undefined
    const { id, family } = this.#createFamily(grant.sub)
    return this.#tokenSet(id, family, grant.nonce)
  }

  async #refresh (params: URLSearchParams) {
    const counts = this.#counts
    counts.refreshes++
    counts.times.push(Date.now())
    counts.peak = Math.max(counts.peak, ++this.#atOnce)
    if (this.settings.refreshDelay > 0) await new Promise(resolve => setTimeout(resolve, this.settings.refreshDelay))
    this.#atOnce--
    const refreshToken = params.get('refresh_token') ?? ''
    const id = refreshToken.split('.')[1] ?? ''
    const family = this.#families.get(id)
    if (family === undefined || family.ended || refreshToken !== this.#refreshTokenOf(family)) {
      if (family !== undefined) family.ended = true
      this.#counts.refused++
      return undefined
    }
    return this.#tokenSet(id, family)
  }

  #createFamily (sub: string) {
    const id = String(++this.#lastLogin)
    const family: Family = { sub, current: '', expiresAt: 0, ended: false }
    this.#families.set(id, family)
    return { id, family }
  }

  #tokenSet (id: string, family: Family, nonce?: string) {
    const { expiresBetween: [from, to] = [] } = this.settings
    const expiresIn = from === undefined || to === undefined
      ? this.settings.expiresIn
      : Math.round((from + Math.random() * (to - from) - Date.now()) / 1000)
    family.expiresAt = Date.now() + expiresIn * 1000
    family.current = `rt.${id}.${randomBytes(24).toString('base64url')}`
    return {
      access_token: `at.${id}.${family.expiresAt}.${randomBytes(24).toString('base64url')}.${this.#padding}`,
      token_type: 'Bearer',
      expires_in: expiresIn,
      refresh_token: this.#refreshTokenOf(family),
      scope: 'openid profile email offline_access',
      id_token: this.#idToken(family.sub, nonce)
    }
  }

  #refreshTokenOf ({ current }: Family): string {
    return current + this.#padding.slice(0, 380)
  }

  #idToken (sub: string, nonce: string | undefined): string {
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: this.issuer,
      sub,
      aud: 'client',
      iat: now,
      exp: now + 3600,
      auth_time: now,
      nonce,
      name: 'Alice Adams',
      given_name: 'Alice',
      family_name: 'Adams',
      email: `${sub}@example.com`,
      email_verified: true,
      picture: 'https://cdn.example.com/people/5f0c9e3a/photo.jpg',
      locale: 'en-GB'
    }
    const { header, privateKey } = this.#keys[this.settings.algorithm]
    const signed = `${header}.${base64url(claims)}`
    const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' })
    if (this.settings.forge) signature[0]! ^= 1
    return `${signed}.${signature.toString('base64url')}`
  }
}

function json (response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(text)
  }).end(text)
}

function base64url (value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function createSigningKey (alg: string, { privateKey, publicKey }: KeyPairKeyObjectResult) {
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: `key-${alg}`, alg, use: 'sig' }
  return { privateKey, jwk, header: base64url({ alg, typ: 'JWT', kid: jwk.kid }) }
}

function noCounts (): ProviderCounts {
  return { codes: 0, refreshes: 0, refused: 0, peak: 0, times: [] }
}

function metadata (issuer: string) {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/jwks`,
    revocation_endpoint: `${issuer}/revoke`,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256', 'ES256'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    code_challenge_methods_supported: ['S256']
  }
}
