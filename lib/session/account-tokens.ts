import { RecordTokenSource } from '../tokens/token-source.ts'
import type { SessionLogin } from './accounts.ts'
import { providerOf, type SessionContext } from './context.ts'
import type { SessionObject } from './fastify-session.ts'

/**
 * The tokens of one account of a session. Where it turns out that the login has ended, the account leaves the session.
 * @param session the request's session as it is then
 * @param login the login that the account belongs to
 * @param name the provider's name
 */
export function accountTokens (
  context: SessionContext,
  session: () => SessionObject | null,
  login: SessionLogin,
  name: string
): RecordTokenSource {
  const { config, records, refresher, onTokensHook, clock, sessionLogins } = context
  const provider = providerOf(context, name)
  const mode = provider.config.refresh ?? config.refresh ?? 'auto'
  const onEnded = (record: string) => { sessionLogins.remove(session(), record) }
  const loginRecord = name === login.active ? {} : { loginRecord: login.accounts[login.active]!.recordId }
  return new RecordTokenSource(provider, login.accounts[name]!.recordId, {
    records,
    refresher,
    onTokensHook,
    clock,
    mode,
    onEnded,
    ...loginRecord
  })
}
