import type { PluginContext } from '../context.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { unknownProvider } from '../session/context.ts'

const INTERACTIVE = ['authorization_code', 'implicit', 'password']

/** Whether a person logs in there. */
export function isInteractive ({ config }: ProviderClient): boolean {
  return INTERACTIVE.includes(config.grantType)
}

/**
 * The provider that a visitor's URL names. One where nobody logs in is none to a visitor, who is told no other names
 * either.
 * @throws FST_OAUTH_UNKNOWN_PROVIDER
 */
export function visitorsProvider (context: PluginContext, name: string): ProviderClient {
  const provider = context.providers.get(name)
  if (provider === undefined || !isInteractive(provider)) throw unknownProvider()
  return provider
}
