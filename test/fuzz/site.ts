/** An app and its provider, and what must never come of what is sent to either. */
import { setImmediate as turn } from 'node:timers/promises'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import oauth, { type ProviderOptions, type TokenStore } from '../../lib/index.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { JsonStore } from '../helpers/stores.ts'

/** Where a target puts what has to be ended. */
export interface Scope { after (end: () => unknown): void }

export interface Answer {
  statusCode: number
  headers: Record<string, unknown>
  body: string
}

const BASE_URL = 'https://app.example'

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** What an error of JavaScript, Node.js or a driver says, and no page of the plugin's. */
const INNER = new RegExp([
  'TypeError', 'RangeError', 'SyntaxError', 'Cannot (?:read|set|convert)', 'is not (?:a function|iterable|defined)',
  '\\bat \\w+ \\(', 'node:internal', 'ECONN', 'in JSON at position', 'Unexpected token'
].join('|'))

const loose: unknown[] = []
for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
  process.on(event, (error: unknown) => { loose.push(error) })
}

/** An app with one OpenID provider, `acme`, on session stores that serialize. */
export class Site {
  readonly provider: MisbehavingProvider
  readonly store = new JsonStore()
  #app: FastifyInstance | undefined
  #log = ''
  #restarts = false
  readonly #options: { provider?: Partial<ProviderOptions>, tokenStore?: TokenStore }

  private constructor (
    provider: MisbehavingProvider, options: { provider?: Partial<ProviderOptions>, tokenStore?: TokenStore }
  ) {
    this.provider = provider
    this.#options = options
  }

  static async start (
    scope: Scope, options: { provider?: Partial<ProviderOptions>, tokenStore?: TokenStore } = {}
  ): Promise<Site> {
    const site = new Site(await startMisbehavingProvider(scope as never), options)
    scope.after(() => site.#app?.close())
    await site.restart()
    return site
  }

  get app (): FastifyInstance { return this.#app! }

  /** A new app, which knows nothing of the provider yet; the sessions stay. */
  async restart (): Promise<void> {
    this.#restarts = this.#app !== undefined
    await this.#app?.close()
    const app = Fastify({ logger: { level: 'trace', stream: { write: (line) => { this.#log += line } } } })
    await app.register(cookie)
    await app.register(session, {
      secret: SESSION_SECRET, cookie: { secure: false }, saveUninitialized: false, rolling: false, store: this.store
    })
    const { issuer, providerOptions } = this.provider
    const { provider, tokenStore } = this.#options
    await app.register(oauth, {
      baseUrl: BASE_URL,
      providers: { acme: { ...providerOptions, resourceServers: [`${issuer}/api/`], ...provider } },
      ...(tokenStore !== undefined && { tokenStore })
    })
    app.get('/', async ({ oauth: { user, claims, scope, authenticated } }) => ({ user, claims, scope, authenticated }))
    app.get('/call', async request => {
      const { statusCode, body } = await request.oauth.get('orders')
      await body.dump()
      return { statusCode }
    })
    app.get('/refresh', async request => {
      await request.oauth.refresh()
      return { refreshed: true }
    })
    await app.ready()
    this.#app = app
  }

  async send (
    method: 'GET' | 'POST', url: string, headers: Record<string, string> = {}, payload?: string
  ): Promise<Answer> {
    return await this.app.inject({
      method, url, headers: { accept: 'text/html', ...headers }, ...(payload !== undefined && { payload })
    })
  }

  /** Begins a login: the cookies of the browser, and the path and query that the provider sends it back to. */
  async begin (path = '/login'): Promise<{ cookie: string, callback: URL, answers: Answer[] }> {
    const start = await this.send('GET', path)
    const { location } = start.headers
    if (start.statusCode !== 302 || !String(location).startsWith(this.provider.url('authorization'))) {
      return { cookie: '', callback: new URL(BASE_URL), answers: [start] }
    }
    const back = await fetch(String(location), { redirect: 'manual' })
    const callback = new URL(back.headers.get('location') ?? '/login/acme/callback', BASE_URL)
    // With form_post the page has the parameters as fields.
    for (const [, name = '', value = ''] of (await back.text()).matchAll(/name="([^"]*)" value="([^"]*)"/g)) {
      callback.searchParams.set(name, value)
    }
    return { cookie: cookiesOf(start), callback, answers: [start] }
  }

  /** A whole login: the answers, and the cookies that the browser has in the end. */
  async logIn (path?: string): Promise<{ cookie: string, answers: Answer[] }> {
    const { cookie, callback, answers } = await this.begin(path)
    const end = this.#options.provider?.responseMode === 'form_post'
      ? await this.send('POST', callback.pathname, { cookie, ...FORM }, String(callback.searchParams))
      : await this.send('GET', callback.pathname + callback.search, { cookie })
    return { cookie: cookiesOf(end), answers: [...answers, end] }
  }

  /** What is wrong with the answers, and with the log and the process since the last time. */
  async complaints (answers: readonly Answer[], { mayLeave = false } = {}): Promise<string[]> {
    await turn()
    const found = answers.flatMap(answer => this.#complaintsOf(answer, mayLeave))
    for (const error of loose.splice(0)) {
      found.push(`not handled: ${error instanceof Error ? error.stack : String(error)}`)
    }
    for (const secret of this.provider.secrets) {
      if (secret.length < 16 || !this.#log.includes(secret)) continue
      found.push(`a secret is in the log: ${this.#lineWith(secret)}`)
    }
    this.#log = ''
    this.provider.secrets.length = 1
    this.provider.requests.length = 0
    return found
  }

  /** Whether the app goes on: a login in good order works. What it has of the provider's documents is not forgotten. */
  async isWell (): Promise<string[]> {
    this.provider.wrong = {}
    if (this.#restarts) await this.restart()
    const { cookie, answers } = await this.logIn()
    const { body } = await this.send('GET', '/', { cookie })
    const complaints = await this.complaints(answers)
    if (body.includes('"id":"alice"')) return complaints
    return [...complaints, `no login works any more: ${answers.at(-1)?.body}`]
  }

  #lineWith (secret: string): string {
    const line = this.#log.split('\n').find(line => line.includes(secret)) ?? ''
    return line.replace(secret, '[the secret]').slice(0, 400)
  }

  #complaintsOf ({ statusCode, headers, body }: Answer, mayLeave: boolean): string[] {
    const found: string[] = []
    const isPage = String(headers['content-type']).startsWith('text/html')
    if (statusCode >= 500 && !/FST_OAUTH_\w+/.test(body)) found.push(`${statusCode}: ${body.slice(0, 300)}`)
    if (INNER.test(body)) found.push(`an inner message: ${body.slice(0, 300)}`)
    if (isPage && body.includes('<svg')) found.push('markup of a stranger')
    const { location } = headers
    if (location !== undefined && !this.#leadsHome(String(location), mayLeave)) found.push(`leads to ${location}`)
    for (const secret of this.provider.secrets) {
      if (secret.length < 16 || !body.includes(secret)) continue
      found.push(`a secret is in the answer: ${body.replace(secret, '[the secret]').slice(0, 400)}`)
    }
    return found
  }

  #leadsHome (location: string, mayLeave: boolean): boolean {
    if (location.startsWith(`${this.provider.issuer}/`)) return true
    if (!URL.canParse(location, BASE_URL) || /[\r\n]/.test(location)) return false
    const { origin, protocol } = new URL(location, BASE_URL)
    return origin === BASE_URL || (mayLeave && /^https?:$/.test(protocol))
  }
}

export function cookiesOf ({ headers }: Answer): string {
  const lines = [headers['set-cookie'] ?? []].flat() as string[]
  return lines.map(line => line.split(';', 1)[0]!).filter(pair => !pair.endsWith('=')).join('; ')
}
