import type { Test } from 'tap'
import type { OAuthError, PluginOptions, ProviderOptions } from '../../lib/index.ts'
import { Browser, type Page } from './browser.ts'
import { buildApp, type AppOptions, type TestApp } from './build-app.ts'
import type { Gate } from './gate.ts'
import { submitsItself } from './html.ts'
import { startMisbehavingProvider, type MisbehavingProvider, type Misbehaviour } from './misbehaving-provider.ts'
import { tokenRecords } from './records.ts'
import type { JsonStore } from './stores.ts'

export interface LoginAppOptions<P = MisbehavingProvider> extends Omit<AppOptions, 'oauth'> {
  /** The point in which the provider is wrong. */
  wrong?: Misbehaviour
  /** The provider's host name: `localhost` is another site than the app's. */
  host?: string
  /** Over the provider's options. */
  provider?: Partial<ProviderOptions> | ((provider: P) => Partial<ProviderOptions>)
  /** In place of them. */
  providers?: (provider: P) => Record<string, ProviderOptions>
  /** Over the plugin's options. */
  oauth?: Partial<PluginOptions>
}

export interface LoginApp<P = MisbehavingProvider> extends TestApp {
  provider: P
  browser: Browser
  /** What `onError` was told, in order. */
  errors: OAuthError[]
  /** `id` of the user that a browser's session belongs to, or null. */
  userOf (browser: Browser): Promise<string | null>
}

/** An app whose provider, `acme`, logs in any user without a question; wrong in one point where the test says so. */
export async function loginApp (t: Test, options: LoginAppOptions = {}): Promise<LoginApp> {
  return await appAt(t, await startMisbehavingProvider(t, options.wrong, { host: options.host }), options)
}

/** An app whose provider, `acme`, runs already. */
export async function appAt<P extends { providerOptions: ProviderOptions }> (
  t: Test, provider: P, { provider: own, providers, oauth, setup, ...others }: LoginAppOptions<P> = {}
): Promise<LoginApp<P>> {
  const errors: OAuthError[] = []
  const acme = { ...provider.providerOptions, ...(typeof own === 'function' ? own(provider) : own) }
  const built = await buildApp(t, {
    oauth: {
      providers: providers?.(provider) ?? { acme },
      onError: (_request, _reply, error) => { errors.push(error) },
      ...oauth
    },
    session: others.session,
    fastify: others.fastify,
    http2: others.http2,
    setup
  })
  const userOf = async (browser: Browser) => {
    const page = await browser.get(`${built.url}/`)
    return page.json<{ user: string | null }>().user
  }
  const browser = new Browser()
  if (others.http2 === true) browser.http2Origins.add(new URL(built.url).origin)
  return { ...built, provider, browser, errors, userOf }
}

/** Walks a login up to the URL that the provider sends the browser back to, and returns that URL unvisited. */
export async function callbackUrl (browser: Browser, loginUrl: string): Promise<string> {
  const start = await browser.get(loginUrl, { redirect: 'manual' })
  if (start.location === undefined) throw new Error(`no login began: ${start.status} ${start.text}`)
  return await callbackOf(browser, start)
}

/** The same for a login that has begun: from the redirect to the provider on, whose form is filled in for alice. */
export async function callbackOf (browser: Browser, start: Page): Promise<string> {
  const { location } = await lastPageAtProvider(browser, start)
  return location!
}

/** The page or redirect of the provider that leads back; with `form_post` its form does. */
export async function lastPageAtProvider (browser: Browser, start: Page): Promise<Page> {
  const { origin } = new URL(start.location!)
  let page = start
  while (page.location !== undefined && new URL(page.location).origin === origin) {
    page = await browser.follow(page, { redirect: 'manual' })
    if (!/<input type="password"/.test(page.text)) continue
    page = await browser.submitForm(page, { login: 'alice', password: 'alice-password' }, { redirect: 'manual' })
  }
  if (page.location === undefined && !submitsItself(page.text)) {
    throw new Error(`the provider did not send the browser back: ${page.status} ${page.text}`)
  }
  return page
}

/**
 * Three logins whose callbacks are all under way when a gate opens, and the pages that they end on.
 * @param gate in the provider, which one of the callbacks arrives at
 */
export async function finishTogether ({ provider, url, userOf }: LoginApp, gate: Gate): Promise<Page[]> {
  const browsers = [new Browser(), new Browser(), new Browser()]
  const callbacks = await Promise.all(browsers.map(who => callbackUrl(who, `${url}/login/acme`)))
  const before = provider.asked('token').length
  const pages = browsers.map((who, index) => who.get(callbacks[index]!))
  await gate.arrived
  // What the app has got of the others by now, it has looked at after two more round trips.
  while (provider.asked('token').length < before + browsers.length) await userOf(new Browser())
  for (let trip = 0; trip < 2; trip++) await userOf(new Browser())
  gate.release()
  return await Promise.all(pages)
}

/** A URL with its query changed. */
export function withQuery (url: string, change: (query: URLSearchParams) => void): string {
  const changed = new URL(url)
  change(changed.searchParams)
  return changed.href
}

/** The error code that a page or a JSON answer tells. */
export function codeOf (page: Pick<Page, 'text' | 'headers'>): string | undefined {
  if (String(page.headers['content-type']).startsWith('application/json')) {
    return (JSON.parse(page.text) as { code?: string }).code
  }
  return /Reference: <code>(\w+)<\/code>/.exec(page.text)?.[1]
}

/** Asserts that no user is logged in, neither as the browser sees it nor in the store. */
export async function assertLoggedOut (
  t: Test,
  { store, browser, userOf }: Pick<LoginApp, 'store' | 'browser' | 'userOf'>,
  who = browser
): Promise<void> {
  t.equal(await userOf(who), null, 'logged out')
  t.equal(tokenRecords(store).size, 0, 'no token is stored')
  t.notOk([...store.records.values()].some((json) => json.includes('"accounts"')), 'no session names an account')
}

/** The cookies of the logins that a browser has under way. */
export const loginCookies = (browser: Browser) => browser.cookies.filter(({ name }) => /^(?:__Host-)?oauth-/.test(name))

/** The ids under which a store keeps logins that are under way. */
export const pendingLogins = (store: JsonStore) => [...store.records.keys()].filter(id => id.startsWith('oauth:login:'))

export const asJson = { headers: { accept: 'application/json' } }
