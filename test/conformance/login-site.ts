import type { OAuthError, PluginOptions, ProviderOptions } from '../../lib/index.ts'
import { Browser, type Page } from '../helpers/browser.ts'
import { buildApp } from '../helpers/build-app.ts'
import { asJson, callbackUrl } from '../helpers/login-app.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import type { JsonStore } from '../helpers/stores.ts'
import type { Cleanup } from './cleanup.ts'

export interface LoginSite {
  readonly provider: MisbehavingProvider
  readonly url: string
  readonly store: JsonStore
  /** What the app's `onError` was told. */
  readonly errors: OAuthError[]
  /** Walks a login up to the URL that the provider sends the browser back to. */
  begin (browser: Browser): Promise<string>
  /** Opens a URL, asking for JSON. */
  open (browser: Browser, url: string): Promise<Page>
  /** Who is logged in, as the app sees it. */
  userOf (browser: Browser): Promise<string | null>
}

/** A Fastify app with the plugin, and a provider of its own that logs any user in. */
export async function loginSite (
  cleanup: Cleanup,
  options: Partial<ProviderOptions> = {},
  oauth: Partial<PluginOptions> = {}
): Promise<LoginSite> {
  const provider = await startMisbehavingProvider(cleanup, {}, { host: 'localhost' })
  const errors: OAuthError[] = []
  const { url, store } = await buildApp(cleanup, {
    oauth: {
      providers: { acme: { ...provider.providerOptions, ...options } },
      onError: (_request, _reply, error) => { errors.push(error) },
      ...oauth
    }
  })
  return {
    provider,
    url,
    store,
    errors,
    begin: browser => callbackUrl(browser, `${url}/login/acme`),
    open: (browser, address) => browser.get(address, asJson),
    userOf: async browser => (await browser.get(`${url}/`)).json<{ user: string | null }>().user
  }
}

export { Browser }
