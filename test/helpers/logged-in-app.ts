import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import type { RequestOAuth } from '../../lib/index.ts'
import { loginAs } from '../../lib/testing.ts'
import { Browser, type Page } from './browser.ts'
import { startCluster, type ClusterOptions, type TestCluster } from './cluster.ts'
import { appAt, type LoginApp, type LoginAppOptions } from './login-app.ts'
import { startMisbehavingProvider, type MisbehavingProvider, type Misbehaviour } from './misbehaving-provider.ts'
import type { ProviderOptions as OidcProviderOptions } from './provider-options.ts'
import { startProvider, TestProvider } from './provider.ts'
import type { ApiRequest } from './resource-server.ts'

export type Work<T> = (oauth: RequestOAuth, request: FastifyRequest, reply: FastifyReply) => T

interface Shared {
  browser: Browser
  /** How many refreshes the provider was asked for. */
  refreshes (): number
  /** GET /orders, whose handler calls the API; of the app with this index, where there are several. */
  orders (index?: number): Promise<Page>
}

/** One app, in which alice is logged in. */
export interface LoggedInApp<P = TestProvider> extends LoginApp<P>, Shared {
  /** What the API was asked, in order. */
  requests: ApiRequest[]
  /** Runs code in a handler of the app, as alice, and returns (or throws) what it did: the very same object. */
  run<T> (work: Work<T>): Promise<Awaited<T>>
  /** The same in an anonymous request. */
  runAnonymous<T> (work: Work<T>): Promise<Awaited<T>>
  /** The response of the app itself to such a handler. */
  page (work: Work<unknown>): Promise<Page>
  /** Adds alice's account at another provider to her login. */
  link (provider: string): Promise<Page>
}

/** Several apps on one Redis, with alice logged in. */
export interface LoggedInCluster extends TestCluster, Shared {
  provider: TestProvider
  /** The Redis key of alice's token record. */
  key: string
}

interface ClusterAppOptions extends ClusterOptions {
  processes: number
  at?: undefined
}

interface OneAppOptions<P> extends Omit<LoginAppOptions<P>, 'wrong'> {
  /** The name of the provider at which alice logs in; default `acme`. */
  login?: string
  /** Who logs in: `loginAs` (the default), or the test's browser, which then has a session at the provider too. */
  through?: 'browser'
  wrong?: undefined
  at?: undefined
  processes?: undefined
}

export interface LoggedInAppOptions extends Omit<OneAppOptions<TestProvider>, 'host'> {
  /** Settings of the oidc-provider. */
  oidc?: OidcProviderOptions
}

interface MisbehavingAppOptions extends Omit<OneAppOptions<MisbehavingProvider>, 'wrong'> {
  wrong: Misbehaviour
}

interface RunningProviderOptions<P> extends Omit<OneAppOptions<P>, 'at' | 'host'> {
  /** A provider that runs already. */
  at: P
}

/**
 * An app in which alice is logged in, with a route `GET /orders`. Its provider is a real oidc-provider with an API, or
 * with `wrong` the small one of misbehaving-provider.ts, or the one of `at`. With `processes` there are so many apps on
 * one Redis, or undefined where no Redis is installed and the test is skipped.
 */
export async function loggedInApp (t: Test, options: ClusterAppOptions): Promise<LoggedInCluster | undefined>
export async function loggedInApp (t: Test, options: MisbehavingAppOptions): Promise<LoggedInApp<MisbehavingProvider>>
export async function loggedInApp<P extends TestProvider | MisbehavingProvider> (
  t: Test, options: RunningProviderOptions<P>
): Promise<LoggedInApp<P>>
export async function loggedInApp (t: Test, options?: LoggedInAppOptions): Promise<LoggedInApp<TestProvider>>
export async function loggedInApp (
  t: Test,
  options: ClusterAppOptions | MisbehavingAppOptions | RunningProviderOptions<TestProvider> | LoggedInAppOptions = {}
) {
  if (options.processes !== undefined) return await loggedInCluster(t, options)
  if (options.at !== undefined) return await loggedIn(t, options.at, options)
  return options.wrong === undefined
    ? await loggedIn(t, await startProvider(t, options.oidc), options)
    : await loggedIn(t, await startMisbehavingProvider(t, options.wrong, { host: options.host }), options)
}

async function loggedIn<P extends TestProvider | MisbehavingProvider> (
  t: Test, provider: P, options: Omit<LoginAppOptions<P>, 'wrong'> & { login?: string, through?: 'browser' }
): Promise<LoggedInApp<P>> {
  const works = new Map<string, Work<unknown>>()
  const built = await appAt(t, provider, {
    ...options,
    setup: async (app) => {
      app.get<{ Params: { id: string } }>('/work/:id', async (request, reply) => {
        const work = works.get(request.params.id)
        works.delete(request.params.id)
        return await work!(request.oauth, request, reply)
      })
      await addRoutes(app, options)
    }
  })
  const { url, browser } = built
  const { login = 'acme', oauth } = options
  if (provider instanceof TestProvider && options.through !== 'browser') {
    await logInAs(built, provider, login, oauth?.routes === false ? `/login/${login}` : undefined)
  } else {
    assertLoggedIn(await browser.login(`${url}/login/${login}`))
  }

  let count = 0
  const pathTo = (work: Work<unknown>) => {
    const id = String(++count)
    works.set(id, work)
    return `${url}/work/${id}`
  }
  const page = async (work: Work<unknown>, as: Browser) => await as.get(pathTo(work))
  const run = async <T>(work: Work<T>, as: Browser): Promise<Awaited<T>> => {
    const done: PromiseSettledResult<Awaited<T>>[] = []
    const response = await page(async (...args) => {
      done.push(...await Promise.allSettled([settle(work, args)]))
      return 'done'
    }, as)
    const [outcome] = done
    if (outcome === undefined) throw new Error(`the handler did not run: ${response.status} ${response.text}`)
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  }
  return {
    ...built,
    requests: 'api' in provider ? provider.api.requests : [],
    refreshes: () => provider.refreshRequests.length,
    orders: async () => await browser.get(`${url}/orders`),
    run: work => run(work, browser),
    runAnonymous: work => run(work, new Browser()),
    page: async work => await page(work, browser),
    link: async provider =>
      await browser.login(pathTo(async (oauth, _request, reply) => await oauth.login(reply, { provider, link: true })))
  }
}

async function loggedInCluster (t: Test, options: ClusterAppOptions): Promise<LoggedInCluster | undefined> {
  const provider = await startProvider(t)
  const cluster = await startCluster(t, provider, options.processes, {
    ...options,
    setup: app => addRoutes(app, options)
  })
  if (cluster === undefined) return undefined
  const browser = new Browser()
  await logInAs({ ...cluster.apps[0]!, browser }, provider, 'acme')
  const [key] = (await cluster.tokenRecords()).keys()
  return {
    ...cluster,
    provider,
    browser,
    key: key!,
    refreshes: () => provider.refreshRequests.length,
    orders: async (index = 0) => await browser.get(`${cluster.apps[index]!.url}/orders`)
  }
}

async function addRoutes (app: FastifyInstance, { setup }: Pick<LoginAppOptions, 'setup'>): Promise<void> {
  await setup?.(app)
  if (app.hasRoute({ method: 'GET', url: '/orders' })) return
  app.get('/orders', async (request) => await request.oauth.get('orders').json())
}

/** Through the app's routes and the provider, without its pages. */
async function logInAs (
  { app, browser, url }: Pick<LoginApp, 'app' | 'browser' | 'url'>,
  provider: TestProvider,
  name: string,
  loginPath?: string
): Promise<void> {
  const login = await loginAs(app, { provider: name, testProvider: provider.forLoginAs, loginPath })
  browser.addCookies(login.forPlaywright(url))
  assertLoggedIn(await browser.get(new URL(login.location ?? '/', url).href))
}

function assertLoggedIn (page: Page): void {
  if (page.status === 200 && page.text !== '{"user":null}') return
  throw new Error(`alice could not log in: ${page.status} ${page.text}`)
}

// A synchronous throw is told from a rejection: calls must never do the first.
async function settle<T> (work: Work<T>, args: Parameters<Work<T>>): Promise<Awaited<T>> {
  let result: T
  try {
    result = work(...args)
  } catch (error) {
    throw new ThrownSynchronously(error)
  }
  return await result
}

/** What a handler threw without a promise. */
export class ThrownSynchronously extends Error {
  constructor (cause: unknown) {
    super(`thrown synchronously: ${String(cause)}`, { cause })
  }
}
