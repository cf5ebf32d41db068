import { Readable } from 'node:stream'
import { type Dispatcher, request } from 'undici'
import type { PluginContext } from '../context.ts'
import { InvalidOptionsError } from '../errors.ts'
import { optionsOf } from '../util/options-of.ts'
import { shown } from '../util/shown.ts'
import { type BrowserCookie, Cookies } from './cookies.ts'
import { MemoryNetwork } from './memory-network.ts'
import { refuseInProduction } from './refuse-in-production.ts'
import { type AnyApp, makeReady, registrationsOf } from './registrations.ts'
import { listenerOf } from './test-api.ts'

/** A visitor of the app, with cookies of their own. */
export interface TestVisitor {
  /** For `app.inject({ url, cookies })`. */
  readonly cookies: Record<string, string>
  /** The same as a `Cookie` header. */
  readonly cookie: string
  /**
   * Sends a request to the app as this visitor, by a connection in memory, with https if `baseUrl` is https. Cookies
   * are kept; redirects are not followed.
   * @param path path and query
   * @param init as of `fetch`
   */
  fetch (path: string, init?: RequestInit): Promise<Response>
  /**
   * For `context.addCookies()` of Playwright.
   * @param url where the browser opens the app; default its `baseUrl`
   */
  forPlaywright (url?: string): BrowserCookie[]
}

/**
 * A visitor of the app who is not logged in.
 * @param app the app, with everything registered; `anonymous` calls `app.ready()`, and the app need not listen
 * @param options what the visitor has
 * @param options.cookies cookies that the visitor has, by name
 * @returns the visitor, with a cookie jar, for `app.inject` and for Playwright
 * @throws FST_OAUTH_INVALID_OPTIONS if the app has no fastify-oauth-session, or NODE_ENV is `production`
 */
export async function anonymous (
  app: AnyApp, options: { cookies?: Readonly<Record<string, string>> } = {}
): Promise<TestVisitor> {
  refuseInProduction('anonymous()')
  const { cookies } = optionsOf('anonymous', options)
  await makeReady('anonymous()', app)
  return new Visitor(app, registrationsOf(app)[0]!, cookies)
}

/** Someone who uses the app with a browser of their own. */
export class Visitor implements TestVisitor {
  /** The app's `baseUrl`. */
  readonly base: URL
  readonly #cookies: Cookies
  readonly #dispatcher: Dispatcher

  constructor (app: AnyApp, context: PluginContext, cookies?: Readonly<Record<string, string>>) {
    this.#cookies = new Cookies(cookies)
    this.base = baseUrlOf(context)
    const network = new MemoryNetwork({ isShared: false })
    network.serve(this.base.origin, listenerOf(app, this.base.origin))
    this.#dispatcher = network
  }

  get cookies (): Record<string, string> { return this.#cookies.values }
  get cookie (): string { return this.#cookies.header }

  async fetch (path: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(path, this.base)
    if (url.origin !== this.base.origin) {
      throw new InvalidOptionsError(`fetch() of a visitor goes to the app at ${this.base.origin}, not to ${url.origin}`)
    }
    // undici's fetch would send `Sec-Fetch-Mode: cors`, by which the app knows a script.
    const { method, headers: given, body: payload } = new Request(url, init)
    const { statusCode, headers, body } = await request(url, {
      dispatcher: this.#dispatcher,
      method: method as Dispatcher.HttpMethod,
      headers: { cookie: this.cookie, ...Object.fromEntries(given) },
      body: payload === null ? null : Readable.fromWeb(payload as never),
      signal: init.signal ?? null
    })
    this.#cookies.store(headers['set-cookie'])
    const pairs = Object.entries(headers).flatMap(([name, value]) =>
      [value ?? []].flat().map((each): [string, string] => [name, each]))
    const isEmpty = statusCode === 204 || statusCode === 304
    return new Response(isEmpty ? null : Readable.toWeb(body) as never, { status: statusCode, headers: pairs })
  }

  forPlaywright (url = this.base.href): BrowserCookie[] {
    if (!URL.canParse(url)) throw new InvalidOptionsError(`forPlaywright takes the URL of the app, not ${shown(url)}`)
    const { hostname, protocol } = new URL(url)
    return this.#cookies.all().map(cookie =>
      ({ ...cookie, domain: hostname, secure: cookie.secure && protocol === 'https:' }))
  }

  /**
   * Loads a page of the app.
   * @param form posted to it
   * @returns where it leads
   * @throws FST_OAUTH_INVALID_OPTIONS if the app answers with an error
   */
  async open (path: string, form?: Record<string, string>): Promise<string | undefined> {
    const answer = await this.#load(path, AS_SCRIPT, form)
    if (answer.status >= 400) throw this.#failed(path, answer, form)
    return answer.location
  }

  /**
   * Loads a page that leads to a login, by way of the app's guards and login routes, as a browser does.
   * @returns where it leads out of the app
   * @throws FST_OAUTH_INVALID_OPTIONS if the app answers with an error
   */
  async openGuarded (path: string): Promise<string | undefined> {
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      // An error as JSON has more details than a page.
      const refused = await this.#load(path, AS_SCRIPT)
      const isGuarded = refused.status === 401 || refused.status === 403
      const answer = isGuarded ? await this.#load(path, AS_BROWSER) : refused
      if (answer.status >= 400) throw this.#failed(path, refused)
      const { location } = answer
      const next = location === undefined ? undefined : new URL(location, this.base)
      if (next?.origin !== this.base.origin) return location
      path = next.pathname + next.search
    }
    throw new InvalidOptionsError(`the app redirects without an end, now to ${path.split('?')[0]}`)
  }

  async #load (path: string, headers: Record<string, string>, form?: Record<string, string>): Promise<Loaded> {
    const { statusCode, headers: answered, body } = await request(this.base.origin + path, {
      dispatcher: this.#dispatcher,
      method: form === undefined ? 'GET' : 'POST',
      headers: {
        cookie: this.cookie,
        ...headers,
        ...form !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }
      },
      body: form === undefined ? null : new URLSearchParams(form).toString()
    })
    this.#cookies.store(answered['set-cookie'])
    const location = typeof answered.location === 'string' ? answered.location : undefined
    return { status: statusCode, text: await body.text(), location }
  }

  #failed (path: string, { status, text }: Loaded, form?: Record<string, string>): InvalidOptionsError {
    const what = `${form === undefined ? 'GET' : 'POST'} ${path.split('?')[0]}`
    return new InvalidOptionsError(`${what} of the app answered ${status}: ${saidIn(text)}`)
  }
}

/** An answer of the app. */
interface Loaded {
  readonly status: number
  readonly text: string
  readonly location: string | undefined
}

const AS_SCRIPT = { accept: 'application/json' }
const AS_BROWSER = { accept: 'text/html', 'sec-fetch-mode': 'navigate' }
const MAX_STEPS = 10

/** The app's `baseUrl`. @throws FST_OAUTH_INVALID_OPTIONS if its function does not know it yet */
export function baseUrlOf ({ config }: PluginContext): URL {
  try {
    return config.baseUrl()
  } catch (error) {
    const why = (error as Error).message
    throw new InvalidOptionsError(
      `the app's baseUrl is needed, and its function failed: ${why}; let the app listen first, or write a URL`,
      { reason: 'configuration' }
    )
  }
}

/** Code and message of an error of the plugin; else the beginning of the body. */
function saidIn (text: string): string {
  try {
    const { code, message } = JSON.parse(text) as { code?: string, message?: string }
    return [code, message].filter(part => part !== undefined).join(': ')
  } catch {
    return text.slice(0, 500)
  }
}
