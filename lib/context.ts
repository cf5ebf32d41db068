import type { Transport } from './http/transport.ts'
import type { LoginThrottle } from './login/throttle.ts'
import type { PendingLogins } from './login/transaction.ts'
import type { Pages } from './pages/pages.ts'
import type { SessionContext } from './session/context.ts'
import type { AppProvider } from './standalone/provider.ts'

/** What the plugin's parts share: made once at registration. */
export interface PluginContext extends SessionContext {
  readonly registrations: readonly PluginContext[]
  readonly appProviders: ReadonlyMap<string, AppProvider>
  readonly pendingLogins: PendingLogins
  readonly throttle: LoginThrottle
  readonly transport: Transport
  readonly pages: Pages
}
