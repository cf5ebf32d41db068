import { type Dispatcher, fetch as undiciFetch, request } from 'undici'
import { InvalidOptionsError } from '../errors.ts'
import { parseScope } from '../oauth/token-set.ts'
import { joinPaths } from '../options.ts'
import { backchannelLogoutUriOf, redirectUriOf } from '../routes/paths.ts'
import { authorize, type AuthorizationResponse } from './authorize.ts'
import { type BrowserCookie, Cookies } from './cookies.ts'
import { insideOf, isOpen, openProviderOf, type TestProvider } from './provider.ts'
import { refuseInProduction } from './refuse-in-production.ts'
import { type AnyApp, findRegistered, type Registered, type WhichProvider } from './registrations.ts'
import { replace, replacementOf } from './replace-provider.ts'

/** Options of `loginAs`. */
export interface LoginAsOptions extends WhichProvider {
  /** The user's id at the provider. Default `alice`. */
  readonly sub?: string
  /**
   * Claims of the user, over those that the provider has of them. `acr`, `amr` and `auth_time` are of this login; for a
   * provider without OpenID Connect they are the members of the profile that it answers.
   */
  readonly claims?: Readonly<Record<string, unknown>>
  /** What is granted, of the scope that the app asks for. Default all of it. */
  readonly scope?: string | readonly string[]
  /** Path of the app that the login leads to. */
  readonly returnTo?: string
  /** Path of the app that starts the login, where it has a route of its own for that. Default the plugin's route. */
  readonly loginPath?: string
  /** Cookies that the visitor has before the login: of a session with a cart in it. */
  readonly cookies?: Readonly<Record<string, string>>
  /** The test provider, where several fit. Default the one that the app is configured with, else `replaceProvider`. */
  readonly testProvider?: TestProvider
}

/** A visitor of the app who is logged in. */
export interface TestLogin {
  /** For `app.inject({ url, cookies })`. */
  readonly cookies: Record<string, string>
  /** The same as a `Cookie` header. */
  readonly cookie: string
  /** Where the login has led: a path or URL; undefined where the app answered with a page. */
  readonly location: string | undefined
  /** The provider that the login was at. */
  readonly testProvider: TestProvider
  /**
   * Sends a request to the app as this visitor, over a connection in memory, which is one over https where `baseUrl` is
   * https. Cookies are kept; redirects are not followed.
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
 * Logs a user in, through the app's login route, a real OpenID provider in this process, and the app's callback. An app
 * that is configured with a provider of `createTestProvider` logs in there; for any other one a test provider is put in
 * its place (`replaceProvider`), so that an app with a real `issuer` or preset needs no change.
 * @param app the app, with everything registered; it is made ready, and need not listen
 * @param options.sub the user's id at the provider; default `alice`
 * @param options.claims claims of the user
 * @param options.scope what is granted of the scope that is asked for
 * @param options.provider name of the provider; default the only one, or `defaultProvider`
 * @param options.returnTo path of the app that the login leads to
 * @throws FST_OAUTH_INVALID_OPTIONS where the login fails, there is no such provider, oidc-provider is not installed,
 *   or NODE_ENV is `production`
 */
export async function loginAs (app: AnyApp, options: LoginAsOptions = {}): Promise<TestLogin> {
  refuseInProduction('loginAs()')
  await app.ready()
  const found = findRegistered(app, options)
  refuseOtherGrants(found)
  const testProvider = options.testProvider ?? knownProvider(found) ?? await replace(found)
  if (!isOpen(testProvider)) throw new InvalidOptionsError('the test provider of this login has been closed')
  await takeLogoutTokens(found, testProvider)
  const visitor = new Visitor(app, found, testProvider, options.cookies)
  const callback = await authorize(testProvider, await visitor.start(options), decisionOf(testProvider, options))
  const location = await visitor.finish(callback)
  return {
    get cookies () { return visitor.cookies.values },
    get cookie () { return visitor.cookies.header },
    location,
    testProvider,
    fetch: async (path, init) => await visitor.fetch(path, init),
    forPlaywright: url => visitor.forPlaywright(url)
  }
}

function refuseOtherGrants ({ client: { name, config: { grantType } } }: Registered): void {
  if (grantType === 'authorization_code' || grantType === 'implicit') return
  throw new InvalidOptionsError(
    `loginAs() walks a login through a provider's pages; "${name}" has grantType: '${grantType}', which has none`,
    { provider: name, reason: 'configuration' }
  )
}

function knownProvider ({ context, client }: Registered): TestProvider | undefined {
  const { issuer } = client.config
  return replacementOf(client) ?? (issuer === undefined ? undefined : openProviderOf(issuer, context.config.dispatcher))
}

/** Has the provider send its logout tokens to the app. */
async function takeLogoutTokens ({ context, client }: Registered, provider: TestProvider): Promise<void> {
  const uri = client.hasIdTokens ? backchannelLogoutUriOf(context, client, baseUrlOf({ context, client })) : undefined
  if (uri !== undefined) await insideOf(provider).core.setBackchannelLogoutUri(uri)
}

/** Makes the user, and says how they log in. */
function decisionOf (provider: TestProvider, { sub = 'alice', claims = {}, scope }: LoginAsOptions) {
  const { core } = insideOf(provider)
  const { acr, amr, auth_time: authTime, ...ofUser } = claims
  provider.users[sub] = { ...provider.users[sub], ...ofUser }
  if (authTime === undefined) core.withAuthTime.delete(sub)
  else core.withAuthTime.add(sub)
  return {
    login: {
      accountId: sub,
      ...typeof acr === 'string' && { acr },
      ...Array.isArray(amr) && { amr: amr as string[] },
      ...typeof authTime === 'number' && { ts: authTime }
    },
    scope: parseScope(scope)
  }
}

/** Someone who uses the app with a browser of their own. */
class Visitor {
  readonly cookies: Cookies
  readonly #found: Registered
  readonly #base: URL
  readonly #dispatcher: Dispatcher

  constructor (app: AnyApp, found: Registered, provider: TestProvider, cookies?: Readonly<Record<string, string>>) {
    this.cookies = new Cookies(cookies)
    this.#found = found
    this.#base = baseUrlOf(found)
    this.#dispatcher = provider.dispatcher
    const { network } = insideOf(provider)
    network.serve(this.#base.origin, (request, response) => app.routing(request as never, response as never))
  }

  /** Opens the login route. @returns the authorization request */
  async start ({ loginPath, returnTo }: LoginAsOptions): Promise<URL> {
    const { context: { config: { mount, routes } }, client } = this.#found
    if (routes === false && loginPath === undefined) {
      throw new InvalidOptionsError(
        'the app has `routes: false`; tell loginAs() the path of its own login route: { loginPath: \'/sign-in\' }')
    }
    const path = loginPath ?? joinPaths(mount, routes === false ? '' : routes.login, `/${client.name}`)
    const query = returnTo === undefined ? '' : `${path.includes('?') ? '&' : '?'}${new URLSearchParams({ returnTo })}`
    const { location } = await this.#send(path + query)
    if (location !== undefined) return new URL(location, this.#base)
    throw new InvalidOptionsError(`GET ${path} of the app started no login: it answered with a page`)
  }

  /** Opens the callback. @returns where it leads */
  async finish ({ url, form }: AuthorizationResponse): Promise<string | undefined> {
    const expected = redirectUriOf(this.#found.context, this.#found.client)
    if (url.origin + url.pathname !== expected.split('?')[0]) {
      throw new InvalidOptionsError(
        `the test provider sent the browser to ${url.origin + url.pathname}, and not back to ${expected}`)
    }
    const base = this.#base.pathname.replace(/\/$/, '')
    const path = url.pathname.startsWith(`${base}/`) ? url.pathname.slice(base.length) : url.pathname
    // What a script of the page at the callback posts (RFC 6749, section 4.2, D to F).
    const posted = form ?? (url.hash === '' ? undefined : Object.fromEntries(new URLSearchParams(url.hash.slice(1))))
    const { location } = await this.#send(path + url.search, posted)
    return location
  }

  async fetch (path: string, { headers, ...init }: RequestInit = {}): Promise<Response> {
    const sent = new Headers(headers)
    if (!sent.has('cookie')) sent.set('cookie', this.cookies.header)
    const url = new URL(path, this.#base)
    if (url.origin !== this.#base.origin) {
      throw new InvalidOptionsError(`fetch() of a login goes to the app at ${this.#base.origin}, not to ${url.origin}`)
    }
    const options = { redirect: 'manual', ...init, headers: [...sent], dispatcher: this.#dispatcher }
    const response = await undiciFetch(url, options as never) as unknown as Response
    this.cookies.store(response.headers.getSetCookie())
    return response
  }

  forPlaywright (url = this.#base.href): BrowserCookie[] {
    const { hostname, protocol } = new URL(url)
    return this.cookies.all().map(cookie =>
      ({ ...cookie, domain: hostname, secure: cookie.secure && protocol === 'https:' }))
  }

  async #send (path: string, form?: Record<string, string>): Promise<{ location: string | undefined }> {
    const method = form === undefined ? 'GET' : 'POST'
    const { statusCode, headers, body } = await request(this.#base.origin + path, {
      dispatcher: this.#dispatcher,
      method,
      headers: {
        cookie: this.cookies.header,
        accept: 'application/json',
        ...form !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }
      },
      body: form === undefined ? null : new URLSearchParams(form).toString()
    })
    this.cookies.store(headers['set-cookie'])
    const text = await body.text()
    if (statusCode >= 400) {
      const what = `${method} ${path.split('?')[0]}`
      throw new InvalidOptionsError(`${what} of the app answered ${statusCode}: ${saidIn(text)}`)
    }
    return { location: typeof headers.location === 'string' ? headers.location : undefined }
  }
}

function baseUrlOf ({ context: { config } }: Registered): URL {
  try {
    return config.baseUrl()
  } catch (error) {
    const why = (error as Error).message
    throw new InvalidOptionsError(
      `loginAs() needs the app's baseUrl, and its function failed: ${why}; let the app listen first, or write a URL`,
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
