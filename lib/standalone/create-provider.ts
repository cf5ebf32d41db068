import type { Dispatcher } from 'undici'
import { InvalidOptionsError } from '../errors.ts'
import { Transport } from '../http/transport.ts'
import { secureEndpoint } from '../oauth/urls.ts'
import { resolveProvider } from '../providers/config.ts'
import { OptionChecker } from '../providers/option-checker.ts'
import type { ProviderOptions } from '../providers/options.ts'
import { ProviderClient } from '../providers/provider.ts'
import { type Clock, systemClock } from '../util/clock.ts'
import { optionsOf } from '../util/options-of.ts'
import { ProviderHandle } from './provider.ts'

/** Options of `createProvider` beside those of the provider. */
export interface StandaloneOptions {
  /** Name of the provider in errors. Default its issuer's host. */
  name?: string
  /** The undici Dispatcher for all requests. Default an Agent of its own. */
  dispatcher?: Dispatcher
  /** Clocks in place of the system's, for tests that must not wait. */
  clock?: Partial<Clock>
}

/** Options of a provider, and its `name`. */
export type StandaloneProviderOptions = ProviderOptions & { name?: string }

/** A provider without Fastify: as `app.oauth.provider(name)`, with its own connections, which `close()` closes. */
export class StandaloneProvider extends ProviderHandle {
  readonly #transports: Transport[]

  constructor (
    { name: own, ...options }: StandaloneProviderOptions,
    { name = own ?? hostOf(options.issuer), dispatcher, clock: given, ...rest }: StandaloneOptions
  ) {
    const check = new OptionChecker()
    check.known('', rest, ['name', 'dispatcher', 'clock'])
    check.type('name', name, 'string')
    check.dispatcher('dispatcher', dispatcher)
    const config = resolveProvider(String(name), options, check, `createProvider('${String(name)}')`)
    refusePlainHttp(config.name, options)
    check.report()
    const transport = new Transport(dispatcher)
    const clock = { ...systemClock, ...given }
    const log = { error () {}, warn () {}, info () {} }
    const { clientCertificate } = config
    const certified = clientCertificate === undefined ? transport : new Transport(undefined, clientCertificate)
    super({ provider: new ProviderClient(config, certified, clock), transport, clock, log })
    this.#transports = [transport, certified]
  }

  /** Closes the connections. May be called again. */
  async close (): Promise<void> {
    await Promise.all(this.#transports.map(transport => transport.close()))
  }
}

function hostOf (issuer: unknown): string {
  return typeof issuer === 'string' && URL.canParse(issuer) ? new URL(issuer).host : 'provider'
}

// In place of FST_OAUTH_INVALID_OPTIONS, which a script may treat as a programming error.
function refusePlainHttp (name: string, options: ProviderOptions): void {
  for (const [option, value] of Object.entries(options ?? {})) {
    if (!/^(?:issuer|jwksUri|\w+Endpoint)$/.test(option) || typeof value !== 'string' || !URL.canParse(value)) continue
    if (new URL(value).protocol === 'http:') secureEndpoint(value, option, name, options.allowInsecureRequests === true)
  }
}

/**
 * Creates a provider for scripts and jobs. `createProvider({ issuer, clientId, … }).session()` is the counterpart of
 * requests-oauthlib's OAuth2Session.
 * @param options as in the plugin's `providers`, and `name`
 * @param headless options of the provider as a whole: dispatcher and clocks
 * @returns the provider; `close()` ends its connections
 * @throws FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_INSECURE_TRANSPORT
 */
export function createProvider (
  options: StandaloneProviderOptions, headless: StandaloneOptions = {}
): StandaloneProvider {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionsError('createProvider needs options; write { issuer, clientId, clientSecret }')
  }
  return new StandaloneProvider(options, optionsOf('createProvider', headless))
}
