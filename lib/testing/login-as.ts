import { InvalidOptionsError } from '../errors.ts'
import { parseScope } from '../oauth/token-set.ts'
import { backchannelLogoutUriOf, redirectUriOf } from '../routes/paths.ts'
import { optionsOf } from '../util/options-of.ts'
import { shown } from '../util/shown.ts'
import { joinPaths } from '../util/url-paths.ts'
import { authorize, type AuthorizationResponse } from './authorize.ts'
import { insideOf, isOpen, openProviderOf, type TestProvider } from './provider.ts'
import { refuseInProduction } from './refuse-in-production.ts'
import { type AnyApp, findRegistered, makeReady, type Registered, type WhichProvider } from './registrations.ts'
import { replace, replacementOf } from './replace-provider.ts'
import { listenerOf } from './test-api.ts'
import { baseUrlOf, type TestVisitor, Visitor } from './visitor.ts'

/** Options of `loginAs`. */
export interface LoginAsOptions extends WhichProvider {
  /** The user's id at the provider. Default `alice`. */
  readonly sub?: string
  /**
   * Claims about the user, added to those that the provider has. `acr`, `amr` and `auth_time` are for this login only.
   * For a provider without OpenID Connect, the claims are the members of the profile that its API answers.
   */
  readonly claims?: Readonly<Record<string, unknown>>
  /** The part of the requested scope that is granted. Default all of it. */
  readonly scope?: string | readonly string[]
  /** Path of the app that the login leads to. */
  readonly returnTo?: string
  /**
   * Path of the app that starts the login: a page behind a guard, a route that adds an account, a login route of the
   * app's own. Default the plugin's route.
   */
  readonly loginPath?: string
  /** Cookies that the visitor has before the login, such as those of a session with a cart in it. */
  readonly cookies?: Readonly<Record<string, string>>
  /** The test provider, if several fit. Default the one that the app is configured with, else `replaceProvider`. */
  readonly testProvider?: TestProvider
}

/** A visitor of the app who is logged in. */
export interface TestLogin extends TestVisitor {
  /** Where the login has led: a path or URL; undefined if the app answered with a page. */
  readonly location: string | undefined
  /** The provider at which the user has logged in. */
  readonly testProvider: TestProvider
}

/**
 * Logs a user in, through the app's login route, a real OpenID provider in this process, and the app's callback. If the
 * app is configured with a provider of `createTestProvider`, that one is used; otherwise a test provider replaces the
 * real one (`replaceProvider`), so that an app with a real `issuer` or preset needs no change.
 * @param app the app, with everything registered; `loginAs` calls `app.ready()`, and the app need not listen
 * @param options.sub the user's id at the provider; default `alice`
 * @param options.claims claims about the user
 * @param options.scope the part of the requested scope that is granted
 * @param options.provider name of the provider; default the only one, or `defaultProvider`
 * @param options.returnTo path of the app that the login leads to
 * @returns the logged-in visitor, with `location` and `testProvider`
 * @throws FST_OAUTH_INVALID_OPTIONS if the login fails, there is no such provider, oidc-provider is not installed,
 *   or NODE_ENV is `production`
 */
export async function loginAs (app: AnyApp, options: LoginAsOptions = {}): Promise<TestLogin> {
  refuseInProduction('loginAs()')
  const wanted = optionsOf('loginAs', options)
  await makeReady('loginAs()', app)
  const found = findRegistered(app, wanted)
  refuseOtherGrants(found)
  const testProvider = wanted.testProvider ?? knownProvider(found) ?? await replace(found)
  if (!isOpen(testProvider)) throw new InvalidOptionsError('the test provider of this login has been closed')
  await takeLogoutTokens(app, found, testProvider)
  const visitor = new Visitor(app, found.context, wanted.cookies)
  const request = await startLogin(visitor, found, wanted)
  const response = await authorize(testProvider, request, decisionOf(testProvider, wanted))
  const location = await finishLogin(visitor, found, response)
  return Object.assign(visitor, { location, testProvider })
}

function refuseOtherGrants ({ client: { name, config: { grantType } } }: Registered): void {
  if (grantType === 'authorization_code' || grantType === 'implicit') return
  throw new InvalidOptionsError(
    `loginAs() walks a login through a provider's pages; "${name}" has grantType: '${grantType}', which has none`,
    { provider: name, reason: 'configuration' }
  )
}

function knownProvider ({ context: { config }, client }: Registered): TestProvider | undefined {
  const replacement = replacementOf(client)
  const { name, config: { issuer } } = client
  if (replacement !== undefined || issuer === undefined) return replacement
  const known = openProviderOf(issuer, config.dispatcher)
  const hasNoPort = known !== undefined && insideOf(known).network.serves(new URL(issuer).origin)
  if (hasNoPort && config.dispatcher === undefined) {
    const message = `the test provider of "${name}" has no port, so that the app does not reach it: give the plugin ` +
      '`dispatcher: provider.dispatcher`, or call `await provider.listen()` before you register it'
    throw new InvalidOptionsError(message, { provider: name, reason: 'configuration' })
  }
  return known
}

/** Has the provider send its logout tokens to the app. */
async function takeLogoutTokens (app: AnyApp, { context, client }: Registered, provider: TestProvider): Promise<void> {
  const base = baseUrlOf(context)
  const { core, network } = insideOf(provider)
  network.serve(base.origin, listenerOf(app, base.origin))
  const uri = client.hasIdTokens ? backchannelLogoutUriOf(context, client, base) : undefined
  if (uri !== undefined) await core.setBackchannelLogoutUri(uri)
}

/** Makes the user, and says how they log in. */
function decisionOf (provider: TestProvider, { sub = 'alice', claims, scope }: LoginAsOptions) {
  const { core } = insideOf(provider)
  const { acr, amr, auth_time: authTime, ...ofUser } = claims ?? {}
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

/** Opens the login route. @returns the authorization request */
async function startLogin (
  visitor: Visitor, { context: { config: { mount, routes } }, client }: Registered, options: LoginAsOptions
): Promise<URL> {
  const { loginPath, returnTo } = options
  if (routes === false && loginPath === undefined) {
    throw new InvalidOptionsError(
      'the app has `routes: false`; tell loginAs() the path of its own login route: { loginPath: \'/sign-in\' }')
  }
  if (loginPath !== undefined && !String(loginPath).startsWith('/')) {
    throw new InvalidOptionsError(`the loginPath of loginAs() is ${shown(loginPath)}; write a path, as '/sign-in'`)
  }
  const path = loginPath ?? joinPaths(mount, routes === false ? '' : routes.login, `/${client.name}`)
  const query = returnTo === undefined ? '' : `${path.includes('?') ? '&' : '?'}${new URLSearchParams({ returnTo })}`
  const location = await (loginPath === undefined ? visitor.open(path + query) : visitor.openGuarded(path + query))
  if (location !== undefined) return new URL(location, visitor.base)
  throw new InvalidOptionsError(`GET ${path} of the app started no login: it answered with a page`)
}

/** Opens the callback. @returns where it leads */
async function finishLogin (
  visitor: Visitor, { context, client }: Registered, { url, form }: AuthorizationResponse
): Promise<string | undefined> {
  const expected = redirectUriOf(context, client)
  if (url.origin + url.pathname !== expected.split('?')[0]) {
    throw new InvalidOptionsError(
      `the test provider sent the browser to ${url.origin + url.pathname}, and not back to ${expected}`)
  }
  // The proxy in front of the app takes the path of `baseUrl` off.
  const base = visitor.base.pathname.replace(/\/$/, '')
  const path = url.pathname.startsWith(`${base}/`) ? url.pathname.slice(base.length) : url.pathname
  // What a script of the page at the callback posts (RFC 6749, section 4.2, D to F).
  const posted = form ?? (url.hash === '' ? undefined : Object.fromEntries(new URLSearchParams(url.hash.slice(1))))
  return await visitor.open(path + url.search, posted)
}
