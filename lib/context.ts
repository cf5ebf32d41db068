import type { Transport } from './http/transport.ts'
import type { LoginThrottle } from './login/throttle.ts'
import type { PendingLogins } from './login/transaction.ts'
import type { Pages } from './pages/pages.ts'
import type { SessionContext } from './session/context.ts'
import type { ProviderHandle } from './standalone/provider.ts'

/** What the plugin's parts share: made once at registration. */
export interface PluginContext extends SessionContext {
  readonly registrations: readonly PluginContext[]
  readonly providerHandles: ReadonlyMap<string, ProviderHandle>
  readonly pendingLogins: PendingLogins
  readonly throttle: LoginThrottle
  readonly transport: Transport
  readonly pages: Pages
}
