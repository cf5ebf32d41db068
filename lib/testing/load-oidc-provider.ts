import { InvalidOptionsError } from '../errors.ts'
import type { OidcProviderModule } from './oidc-types.ts'

/**
 * Imports oidc-provider, an optional peer dependency.
 * @throws FST_OAUTH_INVALID_OPTIONS if it is not installed
 */
export async function loadOidcProvider (): Promise<OidcProviderModule> {
  // While it is being imported it warns on Node 20 that it wants Node 22; it runs well on 20, and no option turns this
  // one off. Everything else that it prints is a default which provider-configuration.ts replaces.
  const { warn } = console
  console.warn = (...args: unknown[]) => {
    if (!String(args[0]).includes('oidc-provider WARNING: Unsupported runtime')) warn(...args)
  }
  try {
    return await import('oidc-provider' as string) as OidcProviderModule
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes("'oidc-provider'")) throw error
    throw new InvalidOptionsError(
      'the test provider runs oidc-provider, which is not installed; install it: npm install --save-dev oidc-provider',
      { reason: 'configuration' }
    )
  } finally {
    console.warn = warn
  }
}
