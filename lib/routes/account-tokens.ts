import { RecordTokenSource } from '../client/token-source.ts'
import type { SessionObject } from '../session/accounts.ts'
import { providerOf, type Runtime } from './runtime.ts'

/**
 * The tokens of one account of a session. Where it turns out that the login has ended, the account leaves the session.
 * @param session the request's session as it is then
 * @param name the provider's name
 * @param record id of the token record
 */
export function accountTokens (runtime: Runtime, session: () => SessionObject | null, name: string, record: string): RecordTokenSource {
  const { config, records, refresher, updater, clock, sessionLogins } = runtime
  const provider = providerOf(runtime, name)
  const mode = provider.config.refresh ?? config.refresh ?? 'auto'
  const onEnded = () => { sessionLogins.remove(session(), name, record) }
  return new RecordTokenSource(provider, record, { records, refresher, updater, clock, mode, onEnded })
}
