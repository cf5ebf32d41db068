import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RecordTokenSource } from '../tokens/token-source.ts'
import type { Clock } from '../util/clock.ts'
import type { SessionLogin } from './accounts.ts'
import { providerOf, type SessionContext } from './context.ts'
import { currentSession } from './fastify-session.ts'
import { AccountLifetime } from './login-end.ts'

/**
 * The tokens of one account of a request's session. Where it turns out that the login has ended, the account leaves
 * the session that the request has then.
 * @param login the login that the account belongs to
 * @param name the provider's name
 */
export function accountTokens (
  context: SessionContext, request: FastifyRequest, login: SessionLogin, name: string
): RecordTokenSource {
  const { config, records, refresher, onTokensHook, clock, sessionLogins } = context
  const provider = providerOf(context, name)
  return new RecordTokenSource(provider, login.accounts[name]!.recordId, {
    records,
    refresher,
    onTokensHook,
    clock,
    mode: provider.config.refresh ?? config.refresh ?? 'auto',
    loginRecord: name === login.active ? undefined : login.accounts[login.active]!.recordId,
    since: tokensSince(request, clock),
    lifetime: new AccountLifetime(context, request, login, name),
    onEnded: (record) => { sessionLogins.remove(currentSession(request), record) }
  })
}

const kTokensSince = Symbol('fastify-oauth-session.tokensSince')
type Decorated = FastifyRequest & { [kTokensSince]: number }

/** Makes room in each request for what `tokensSince` notes. */
export function decorateForTokens (app: FastifyInstance): void {
  app.decorateRequest(kTokensSince, 0)
}

/** When a request first asked for tokens, in monotonic milliseconds: what was read since is not read again for it. */
export function tokensSince (request: FastifyRequest, { monotonic }: Clock): number {
  const decorated = request as Decorated
  if (decorated[kTokensSince] === 0) decorated[kTokensSince] = monotonic()
  return decorated[kTokensSince]
}
