import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { escapeHtml } from './html.ts'
import { listen } from './listen.ts'
import {
  type Algorithm, halfHash, publicJwk, sharedKey, type Signer, type SigningKey, signJwt
} from './signing-keys.ts'

export interface ProviderRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly query: URLSearchParams
  readonly form: URLSearchParams
}

export interface Reply {
  /** Default 200. */
  readonly status?: number
  readonly headers?: Record<string, string>
  /** Text and bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown
}

/** What an endpoint answers in the provider's place; a function may also do something else first and return nothing. */
export type Instead =
  | Reply
  | ((request: ProviderRequest, response: ServerResponse) => Answered | Promise<Answered>)

/** `handled`: the function has sent the response itself. */
type Answered = Reply | 'handled' | void

/** The one point in which the provider is wrong. Of members that are overridden, `undefined` takes one away. */
export interface Misbehaviour {
  readonly metadata?: Record<string, unknown>
  /** The parameters of the authorization response: changed in place. */
  readonly callback?: (params: URLSearchParams) => void
  /** Claims of a response that is a JWT (JARM). */
  readonly response?: Record<string, unknown>
  /** Turns that JWT into another. */
  readonly responseJwt?: (jwt: string) => string
  /** What the browser brings back in the end, around that JWT: changed in place. */
  readonly outside?: (params: URLSearchParams) => void
  /** Claims of the ID token that comes through the browser (hybrid). */
  readonly frontChannel?: Record<string, unknown>
  /** Members of the token answer. */
  readonly tokens?: Record<string, unknown>
  readonly claims?: Record<string, unknown>
  /** Of the ID token's JOSE header; `alg` here is what it says, not what it is signed with. */
  readonly header?: Record<string, unknown>
  /** Signs the ID token; by default the provider's newest key. */
  readonly signedBy?: Signer
  /** Turns the signed ID token into another. */
  readonly idToken?: (jwt: string) => string
  readonly keySet?: unknown
  readonly userinfo?: Record<string, unknown>
  readonly instead?: Partial<Record<EndpointName, Instead>>
}

const paths = {
  discovery: '/.well-known/openid-configuration',
  oauthDiscovery: '/.well-known/oauth-authorization-server',
  authorization: '/authorize',
  token: '/token',
  keys: '/jwks',
  userinfo: '/userinfo',
  revocation: '/revoke',
} as const
export type EndpointName = keyof typeof paths

const seconds = () => Math.floor(Date.now() / 1000)

/**
 * A small OpenID provider that logs any user in without a question, is right in every point, and wrong in the one that
 * a test says. What a real provider does is told by provider.ts; here is what no real provider can be made to do.
 */
export class MisbehavingProvider {
  readonly issuer: string
  readonly clientId = `client-${randomBytes(4).toString('hex')}`
  readonly clientSecret = randomBytes(24).toString('base64url')
  readonly requests: ProviderRequest[] = []
  /** The published keys; the last one signs. */
  keys: SigningKey[] = [sharedKey('RS256')]
  subject = 'alice'
  /** May be changed at any time. */
  wrong: Misbehaviour
  /** Every secret of every login: to be looked for where they must not be. */
  readonly secrets: string[] = [this.clientSecret]
  readonly #codes = new Map<string, URLSearchParams>()
  /** Refresh tokens, each good once, and the login that they stand for. */
  readonly #refreshTokens = new Map<string, URLSearchParams>()

  constructor (issuer: string, wrong: Misbehaviour) {
    this.issuer = issuer
    this.wrong = wrong
  }

  get providerOptions () {
    return { issuer: this.issuer, clientId: this.clientId, clientSecret: this.clientSecret, scope: ['openid'] }
  }

  /** The same provider without discovery, and so without ID tokens: plain OAuth 2. */
  get staticOptions () {
    return {
      authorizationEndpoint: this.url('authorization'),
      tokenEndpoint: this.url('token'),
      userinfoEndpoint: this.url('userinfo'),
      clientId: this.clientId,
      clientSecret: this.clientSecret,
      scope: ['profile']
    }
  }

  url (endpoint: EndpointName): string {
    return this.issuer + paths[endpoint]
  }

  /** The requests that came to one endpoint. */
  asked (endpoint: EndpointName): ProviderRequest[] {
    return this.requests.filter(({ path }) => path === paths[endpoint])
  }

  get refreshRequests (): ProviderRequest[] {
    return this.asked('token').filter(({ form }) => form.get('grant_type') === 'refresh_token')
  }

  /** A new key of the same kind takes the place of all others. */
  rotateKeys (): void {
    const { alg } = this.keys.at(-1)!
    this.keys = [sharedKey(alg, (this.keys.at(-1) === sharedKey(alg) ? 1 : 0))]
  }

  useAlgorithm (alg: Algorithm): void {
    this.keys = [sharedKey(alg)]
  }

  async handle (message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(message.url ?? '', this.issuer)
    const form = new URLSearchParams(await text(message))
    const request: ProviderRequest = {
      method: message.method ?? '',
      path: pathname,
      headers: message.headers,
      query: searchParams,
      form
    }
    this.requests.push(request)

    const name = (Object.keys(paths) as EndpointName[]).find((candidate) => paths[candidate] === pathname)
    const { instead } = this.wrong
    const other = name === undefined ? undefined : instead?.[name]
    const given = typeof other === 'function' ? await other(request, response) : other
    if (given === 'handled') return
    const { status = 200, headers = {}, body = '' } = given ?? await this.#answer(name, request)
    const raw = typeof body === 'string' || Buffer.isBuffer(body)
    response.writeHead(status, { ...(raw ? {} : { 'content-type': 'application/json' }), ...headers })
    response.end(raw ? body : JSON.stringify(body))
  }

  #answer (name: EndpointName | undefined, request: ProviderRequest): Reply {
    switch (name) {
      case 'discovery':
        return { body: this.#metadata() }
      case 'authorization':
        return this.#authorize(request.query)
      case 'token':
        return this.#exchange(request)
      case 'keys':
        return { body: this.wrong.keySet ?? { keys: this.keys.map(key => publicJwk(key)) } }
      case 'userinfo':
        return {
          body: override({ sub: this.subject, name: 'Alice Adams', email: 'alice@example.com' }, this.wrong.userinfo)
        }
      case 'revocation':
        return {}
      default:
        return { status: 404, body: { error: 'not_found' } }
    }
  }

  #metadata () {
    return override({
      issuer: this.issuer,
      authorization_endpoint: this.url('authorization'),
      token_endpoint: this.url('token'),
      userinfo_endpoint: this.url('userinfo'),
      jwks_uri: this.url('keys'),
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [...new Set(this.keys.map(({ alg }) => alg))],
    }, this.wrong.metadata)
  }

  #authorize (query: URLSearchParams): Reply {
    const code = randomBytes(24).toString('base64url')
    this.#codes.set(code, query)
    query.set('auth_time', String(seconds()))
    const params = new URLSearchParams({ code, state: query.get('state') ?? '' })
    this.secrets.push(code, ...['state', 'nonce'].map((name) => query.get(name)).filter((value) => value !== null))
    if (query.get('response_type') === 'code id_token') {
      const hashes = { c_hash: this.#hashOf(code), s_hash: this.#hashOf(query.get('state') ?? '') }
      params.set('id_token', this.signJwt(override({ ...this.#claims(query), ...hashes }, this.wrong.frontChannel)))
      this.secrets.push(params.get('id_token')!)
    }
    this.wrong.callback?.(params)
    const mode = query.get('response_mode') ?? 'query'
    const sent = mode.endsWith('jwt') ? new URLSearchParams({ response: this.#securedResponse(params) }) : params
    this.wrong.outside?.(sent)
    const redirectUri = query.get('redirect_uri') ?? ''
    if (!mode.startsWith('form_post')) {
      return { status: 302, headers: { location: `${redirectUri}${redirectUri.includes('?') ? '&' : '?'}${sent}` } }
    }

    const fields = [...sent].map(
      ([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`
    )
    const body = '<form method="post" ' +
      `action="${escapeHtml(redirectUri)}">${fields.join('')}</form><script>document.forms[0].submit()</script>`
    return { headers: { 'content-type': 'text/html' }, body }
  }

  /** Checks what RFC 6749 and RFC 7636 ask for: only a correct request gets tokens here. */
  #exchange ({ form, headers }: ProviderRequest): Reply {
    const credentials = `Basic ${Buffer.from(`${this.clientId}:${this.clientSecret}`).toString('base64')}`
    if (headers.authorization !== credentials) return { status: 401, body: { error: 'invalid_client' } }
    const asked = form.get('grant_type') === 'refresh_token' ? this.#takeRefreshToken(form) : this.#takeCode(form)
    if (asked === undefined) return { status: 400, body: { error: 'invalid_grant' } }

    const accessToken = randomBytes(24).toString('base64url')
    const refreshToken = randomBytes(24).toString('base64url')
    this.#refreshTokens.set(refreshToken, asked)
    const openid = asked.get('scope')?.split(' ').includes('openid') === true
    const idToken = openid ? this.#idToken(asked, accessToken) : undefined
    this.secrets.push(accessToken, refreshToken, ...idToken === undefined ? [] : [idToken])
    return {
      body: override({
        access_token: accessToken,
        token_type: 'Bearer',
        expires_in: 3600,
        refresh_token: refreshToken,
        ...(idToken === undefined ? {} : { id_token: idToken }),
      }, this.wrong.tokens)
    }
  }

  #takeCode (form: URLSearchParams): URLSearchParams | undefined {
    const code = form.get('code') ?? ''
    const verifier = form.get('code_verifier') ?? ''
    this.secrets.push(verifier)
    const asked = this.#codes.get(code)
    const challenge = createHash('sha256').update(verifier).digest('base64url')
    if (form.get('redirect_uri') !== asked?.get('redirect_uri') || challenge !== asked?.get('code_challenge')) {
      return undefined
    }
    this.#codes.delete(code)
    return asked
  }

  // OpenID Connect Core, section 12.2: a refreshed ID token need not have a nonce.
  #takeRefreshToken (form: URLSearchParams): URLSearchParams | undefined {
    const token = form.get('refresh_token') ?? ''
    const asked = this.#refreshTokens.get(token)
    this.#refreshTokens.delete(token)
    if (asked === undefined) return undefined
    const refreshed = new URLSearchParams(asked)
    refreshed.delete('nonce')
    return refreshed
  }

  /** JWT Secured Authorization Response Mode, section 2.1. */
  #securedResponse (params: URLSearchParams): string {
    const claims = { iss: this.issuer, aud: this.clientId, exp: seconds() + 300, ...Object.fromEntries(params) }
    const jwt = this.signJwt(override(claims, this.wrong.response))
    this.secrets.push(jwt)
    return this.wrong.responseJwt?.(jwt) ?? jwt
  }

  #hashOf (value: string): string {
    return halfHash(value, this.keys.at(-1)!.alg)
  }

  #claims (asked: URLSearchParams): Record<string, unknown> {
    const now = seconds()
    return {
      iss: this.issuer,
      sub: this.subject,
      aud: this.clientId,
      exp: now + 300,
      iat: now,
      auth_time: Number(asked.get('auth_time') ?? now),
      nonce: asked.get('nonce') ?? undefined
    }
  }

  #idToken (asked: URLSearchParams, accessToken: string): string {
    const claims = override({ ...this.#claims(asked), at_hash: this.#hashOf(accessToken) }, this.wrong.claims)
    const jwt = this.signJwt(claims)
    return this.wrong.idToken?.(jwt) ?? jwt
  }

  /** A logout token with these claims over the usual ones, signed as `wrong` says. */
  logoutToken (claims: Record<string, unknown>): string {
    const now = seconds()
    return this.signJwt(override({
      iss: this.issuer,
      aud: this.clientId,
      iat: now,
      exp: now + 120,
      jti: randomUUID(),
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} }
    }, claims))
  }

  /** A JWT, signed as `wrong` says; a text goes into it as it is. */
  signJwt (claims: Record<string, unknown> | string): string {
    const { signedBy = this.keys.at(-1)!, header } = this.wrong
    return signJwt(claims, signedBy, header)
  }
}

/** JSON leaves out what is undefined. */
function override (members: Record<string, unknown>, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...members, ...changes }
}

/** Starts a provider that is wrong in one point; it is closed after `t`. */
export async function startMisbehavingProvider (
  t: Pick<Test, 'after'>,
  wrong: Misbehaviour = {},
  { host = '127.0.0.1' }: { host?: string } = {}
): Promise<MisbehavingProvider> {
  const { server, port, close } = await listen()
  t.after(close)
  const provider = new MisbehavingProvider(`http://${host}:${port}`, wrong)
  server.on('request', (request, response) => {
    provider.handle(request, response).catch((error: Error) => response.destroy(error))
  })
  return provider
}
