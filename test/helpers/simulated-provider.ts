import { constants, createHash, verify } from 'node:crypto'
import { Dispatcher, MockAgent } from 'undici'
import { createKey, publicJwk, signJwt } from './signing-keys.ts'

/** How a provider wants to know the app at its token endpoint. */
export type ClientCheck = 'basic' | 'form' | 'none' | ((form: URLSearchParams) => string | undefined)

/** What one of the URLs that a profile is made of answers. */
export interface ProfileFacts {
  url: string
  answer: unknown
  /** Default 200. */
  status?: number
  /** Default GET. */
  method?: 'POST'
  /** Where the token has to be. Default in a Bearer header. */
  token?: 'query' | 'form'
  /** Parameters of the form with it; `{id}` stands for the ID token, `{token}` for the access token. */
  form?: Record<string, string>
  /** Header fields that have to come with it. */
  headers?: Record<string, string>
}

/** What a provider has documented of its endpoints, as far as a login, a refresh and a call come across it. */
export interface ProviderFacts {
  /** What it insists on at each token request. */
  client: ClientCheck
  /**
   * `refused`: a login fails that comes with a code challenge or verifier, as reported. Default: one is checked against
   * the other.
   */
  pkce?: 'refused'
  tokenEndpoint: string
  /** Parameters that each token request has to have; `{state}` stands for that of the login, null for none. */
  form?: Record<string, string | null>
  /** Default `tokenEndpoint`. */
  refreshEndpoint?: string
  /** The answer to a code (or password), as documented: `{access}`, `{refresh}` and `{id}` stand for tokens. */
  tokens: unknown
  /** Default 200. */
  tokensStatus?: number
  /** The answer to a refresh. None: the provider has no refresh tokens. */
  refreshed?: unknown
  /** The answer to a refresh token that is no good. */
  refused?: { status: number, body: unknown }
  /** Claims of the ID token beside `aud`, `iat`, `exp` and the nonce. */
  idToken?: Record<string, unknown>
  /** Whose ID tokens its key signs, where the key set says so. */
  keyIssuer?: string
  /** The provider leaves the nonce out. */
  withoutNonce?: boolean
  /** The documents that are public. `{keys}` stands for the key set. */
  documents?: Record<string, unknown>
  /** The user's profile, of one call or several. */
  profile?: ProfileFacts | ProfileFacts[]
  revocationEndpoint?: string
}

export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly form: URLSearchParams
}

interface Answer {
  status: number
  body: unknown
}

const key = createKey('RS256')
const CREDENTIALS = { clientId: 'Client-Id_1.x', clientSecret: 'S3cret/+=&_-.~' }

/**
 * A provider as its documentation describes it: answers every origin in this process, and keeps a list of what it was
 * not content with.
 */
export class SimulatedProvider extends Dispatcher {
  readonly clientId = CREDENTIALS.clientId
  readonly clientSecret = CREDENTIALS.clientSecret
  /** What a real provider would have refused, in words. */
  readonly complaints: string[] = []
  /** Everything that is no endpoint of the provider's: calls to its API. */
  readonly calls: SeenRequest[] = []
  readonly revoked: SeenRequest[] = []
  /** Requests to the token endpoint, refreshes among them. */
  tokenRequests = 0
  refreshes = 0
  /** What its API answers with. */
  apiStatus = 200
  /** No refresh token is good any more. */
  ended = false
  readonly #facts: ProviderFacts
  readonly #agent = new MockAgent()
  #login: URLSearchParams | undefined
  #issued = 0
  #refreshing = false
  #lastIdToken: string | undefined
  /** The newest refresh token: with providers that rotate, the only one that is good. */
  #refreshToken: string | undefined

  constructor (facts: ProviderFacts) {
    super()
    this.#facts = facts
    this.#agent.disableNetConnect()
  }

  get accessToken (): string { return `access-${this.#issued}` }

  /** The browser has come, and its user said yes: where it goes from here, and what it brings along. */
  authorize (location: string): { redirectUri: string, params: URLSearchParams } {
    this.#login = new URL(location).searchParams
    return {
      redirectUri: this.#login.get('redirect_uri') ?? '',
      params: new URLSearchParams({ code: 'the-code', state: this.#login.get('state') ?? '' })
    }
  }

  override dispatch (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const headers = Object.entries(options.headers as Record<string, string | undefined>).map(([name, value]) => [
      name.toLowerCase(),
      String(value)
    ])
    const request = {
      method: options.method,
      url: `${String(options.origin)}${options.path}`,
      headers: Object.fromEntries(headers),
      form: new URLSearchParams(String(options.body ?? ''))
    }
    const { status, body } = this.#answer(request)
    // The agent knows both of undici's ways to talk to a handler.
    const json = { headers: { 'content-type': 'application/json' } }
    this.#agent
      .get(String(options.origin))
      .intercept({ path: () => true, method: () => true })
      .reply(status, JSON.stringify(this.#filled(body)), json)
    return this.#agent.dispatch(options, handler)
  }

  override async close (): Promise<void> {
    await this.#agent.close()
  }

  #answer (request: SeenRequest): Answer {
    const { tokenEndpoint, refreshEndpoint = tokenEndpoint, revocationEndpoint, documents = {}, profile } = this.#facts
    const { url, form } = request
    if (url === refreshEndpoint && form.get('grant_type') === 'refresh_token') return this.#refresh(request)
    if (url === tokenEndpoint) return this.#exchange(request)
    if (url === revocationEndpoint) {
      this.revoked.push(request)
      return { status: 200, body: {} }
    }
    if (Object.hasOwn(documents, url)) return { status: 200, body: documents[url] }
    const profiles = profile === undefined ? [] : [profile].flat()
    const asked = profiles.find(one => url.startsWith(one.url) && this.#hasToken(request, one))
    if (asked !== undefined) return { status: asked.status ?? 200, body: asked.answer }
    this.calls.push(request)
    return { status: this.apiStatus, body: { called: true } }
  }

  #hasToken (request: SeenRequest, facts: ProfileFacts): boolean {
    const { method, url, headers, form } = request
    const { url: wanted, token, method: usual = 'GET', form: fields = {}, headers: fixed = {} } = facts
    const inQuery = `${wanted}${wanted.includes('?') ? '&' : '?'}access_token=${this.accessToken}`
    if (url !== (token === 'query' ? inQuery : wanted)) return false
    this.#expect(`the method of ${wanted}`, method, usual)
    this.#expect(
      `the Authorization header of ${wanted}`,
      headers.authorization,
      token === undefined ? `Bearer ${this.accessToken}` : undefined
    )
    for (const [name, value] of Object.entries(fields)) {
      const filled = value === '{id}' ? this.#lastIdToken : value === '{token}' ? this.accessToken : value
      this.#expect(`${name} of ${wanted}`, form.get(name), filled)
    }
    for (const [name, value] of Object.entries(fixed)) this.#expect(`${name} of ${wanted}`, headers[name], value)
    return true
  }

  #exchange (request: SeenRequest): Answer {
    const { form } = request
    this.#checkTokenRequest(request)
    if (form.get('grant_type') === 'password') {
      this.#expect('the user name', form.get('username'), 'alice')
      this.#expect('the password', form.get('password'), 'alice password')
    } else {
      this.#expect('grant_type', form.get('grant_type'), 'authorization_code')
      this.#expect('the code', form.get('code'), 'the-code')
      this.#expect('redirect_uri', form.get('redirect_uri'), this.#login?.get('redirect_uri'))
      const verifier = form.get('code_verifier')
      const challenge = this.#login?.get('code_challenge')
      if (this.#facts.pkce === 'refused') {
        this.#expect('PKCE', [challenge, this.#login?.get('code_challenge_method'), verifier].join(), ',,')
      } else {
        this.#expect('code_verifier', createHash('sha256').update(verifier ?? '').digest('base64url'), challenge)
      }
    }
    this.#issued++
    this.#refreshing = false
    return { status: this.#facts.tokensStatus ?? 200, body: this.#facts.tokens }
  }

  #refresh (request: SeenRequest): Answer {
    this.refreshes++
    this.#checkTokenRequest(request)
    this.#expect('refresh_token', request.form.get('refresh_token'), this.#refreshToken)
    if (this.ended) return this.#facts.refused!
    this.#issued++
    this.#refreshing = true
    return { status: 200, body: this.#facts.refreshed }
  }

  #checkTokenRequest ({ method, headers, form }: SeenRequest): void {
    this.tokenRequests++
    this.#expect('method', method, 'POST')
    this.#expect('content-type', headers['content-type'], 'application/x-www-form-urlencoded')
    this.#expect('accept', headers.accept?.includes('application/json'), true)
    const { client, form: fields = {} } = this.#facts
    for (const [name, value] of Object.entries(fields)) {
      this.#expect(name, form.get(name), value === '{state}' ? this.#login?.get('state') : value)
    }
    const encoded = [this.clientId, this.clientSecret].map(value => encodeURIComponent(value)).join(':')
    this.#expect(
      'authorization',
      headers.authorization,
      client === 'basic' ? `Basic ${Buffer.from(encoded).toString('base64')}` : undefined
    )
    if (client !== 'basic' && !('client_id' in fields)) this.#expect('client_id', form.get('client_id'), this.clientId)
    if (typeof client === 'function') {
      const complaint = client(form)
      if (complaint !== undefined) this.complaints.push(complaint)
    } else {
      this.#expect('client_secret', form.get('client_secret'), client === 'form' ? this.clientSecret : null)
    }
  }

  #expect (what: string, found: unknown, wanted: unknown): void {
    if (found !== wanted) {
      this.complaints.push(`${what} is ${JSON.stringify(found)} and should be ${JSON.stringify(wanted)}`)
    }
  }

  /** The answer with its tokens in it. */
  #filled (value: unknown): unknown {
    if (value === '{access}') return this.accessToken
    if (value === '{refresh}') return (this.#refreshToken = `refresh-${this.#issued}`)
    if (value === '{id}') return (this.#lastIdToken = this.#idToken())
    if (value === '{keys}') {
      return {
        keys: [{ ...publicJwk(key), ...(this.#facts.keyIssuer !== undefined && { issuer: this.#facts.keyIssuer }) }]
      }
    }
    if (Array.isArray(value)) return value.map(item => this.#filled(item))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.#filled(item)]))
  }

  #idToken (): string {
    const now = Math.floor(Date.now() / 1000)
    // OpenID Connect Core, section 12.2: a refreshed one need not have a nonce.
    const nonce =
      this.#refreshing || this.#facts.withoutNonce === true ? undefined : (this.#login?.get('nonce') ?? undefined)
    return signJwt({ aud: this.clientId, iat: now, exp: now + 600, nonce, ...this.#facts.idToken }, key)
  }
}

/** The claims of a JWT signed with ES256, RS256 or PS256, or undefined where it is not signed with this key. */
export function verifiedClaims (
  jwt: string,
  publicKey: Parameters<typeof verify>[2]
): { header: Record<string, unknown>, claims: Record<string, unknown> } | undefined {
  const [header = '', claims = '', signature = ''] = jwt.split('.')
  const decoded = (part: string) => Buffer.from(part, 'base64url').toString()
  const parsed = (part: string) => JSON.parse(decoded(part) || '{}') as Record<string, unknown>
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
  const key = { key: publicKey as any, dsaEncoding: 'ieee-p1363', ...parsed(header).alg === 'PS256' && pss } as const
  const valid = verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'))
  return valid ? { header: parsed(header), claims: parsed(claims) } : undefined
}
