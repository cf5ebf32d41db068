import type { PluginContext } from '../context.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { unknownProvider } from '../session/context.ts'

const INTERACTIVE = ['authorization_code', 'implicit', 'password']

/** Whether users log in with this provider. */
export function isInteractive ({ config }: ProviderClient): boolean {
  return INTERACTIVE.includes(config.grantType)
}

/** Whether its logout tokens can be validated, and may end a login. */
export function hasBackchannelLogout (provider: ProviderClient): boolean {
  return provider.hasIdTokens && isInteractive(provider)
}

/**
 * The provider that a visitor's URL names, where users log in with it. The error does not name the others.
 * @throws FST_OAUTH_UNKNOWN_PROVIDER
 */
export function visitorsProvider (context: PluginContext, name: string): ProviderClient {
  const provider = context.providers.get(name)
  if (provider === undefined || !isInteractive(provider)) throw unknownProvider()
  return provider
}
