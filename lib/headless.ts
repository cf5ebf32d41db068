import type { Dispatcher } from 'undici'
import { AppProvider } from './client/app-provider.ts'
import { systemClock, type Clock } from './client/clock.ts'
import { ProviderClient } from './client/provider-client.ts'
import { Transport } from './client/transport.ts'
import { resolveProvider } from './providers/config.ts'
import { OptionChecker } from './providers/option-checker.ts'
import type { ProviderOptions } from './providers/types.ts'

export interface HeadlessOptions {
  /** What the provider is called in errors. Default `provider`. */
  name?: string
  /** The undici Dispatcher of every call; an Agent of its own by default. */
  dispatcher?: Dispatcher
  /** Clocks in place of the system's: for tests that must not wait. */
  clock?: Partial<Clock>
}

/** A provider without Fastify: what `app.oauth.provider(name)` is, with connections of its own to close. */
export class HeadlessProvider extends AppProvider {
  readonly #transport: Transport

  constructor (options: ProviderOptions, { name = 'provider', dispatcher, clock: given }: HeadlessOptions) {
    const check = new OptionChecker()
    const config = resolveProvider(name, options, check)
    check.report()
    const transport = new Transport(dispatcher)
    const clock = { ...systemClock, ...given }
    super({ provider: new ProviderClient(config, transport, clock), transport, clock, log: { warn () {}, info () {} } })
    this.#transport = transport
  }

  /** Closes the connections. Harmless when called again. */
  async close (): Promise<void> {
    await this.#transport.close()
  }
}

/**
 * Makes a provider for scripts: `createProvider({ issuer, clientId, … }).session()` is what requests-oauthlib's OAuth2Session is.
 * @param options as in the plugin's `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function createProvider (options: ProviderOptions, headless: HeadlessOptions = {}): HeadlessProvider {
  return new HeadlessProvider(options, headless)
}
