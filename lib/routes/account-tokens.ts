import { RecordTokenSource } from '../client/token-source.ts'
import type { SessionAccounts, SessionObject } from '../session/accounts.ts'
import { providerOf, type Runtime } from './runtime.ts'

/**
 * The tokens of one account of a session. Where it turns out that the login has ended, the account leaves the session.
 * @param session the request's session as it is then
 * @param login the login that the account belongs to
 * @param name the provider's name
 */
export function accountTokens (runtime: Runtime, session: () => SessionObject | null, login: SessionAccounts, name: string): RecordTokenSource {
  const { config, records, refresher, updater, clock, sessionLogins } = runtime
  const provider = providerOf(runtime, name)
  const mode = provider.config.refresh ?? config.refresh ?? 'auto'
  const onEnded = (record: string) => { sessionLogins.remove(session(), record) }
  const loginRecord = name === login.active ? {} : { loginRecord: login.accounts[login.active]!.record }
  return new RecordTokenSource(provider, login.accounts[name]!.record, { records, refresher, updater, clock, mode, onEnded, ...loginRecord })
}
