import type { FastifyReply, FastifyRequest } from 'fastify'
import { InvalidOptionsError, LoginRequiredError } from '../errors.ts'
import type { ProviderName } from '../providers/names.ts'
import type { SessionObject } from '../session/accounts.ts'
import { isRecordOf } from '../session/token-record.ts'
import { isPageLoad, noStore } from './http.ts'
import { startLogin } from './login.ts'
import { loginPath, providerOf, publicPath, routePath, type Runtime } from './runtime.ts'

export interface RequireLoginOptions {
  /** Name of the provider that must be logged in with; any where absent. */
  provider?: ProviderName
}

/**
 * Makes an onRequest hook that lets only logged-in users pass. It reads the token record, so a login that ended
 * elsewhere does not pass. A browser's page load is sent to log in and comes back; anything else gets 401.
 * @throws FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_UNKNOWN_PROVIDER; from the hook FST_OAUTH_LOGIN_REQUIRED
 */
export function createGuard (runtime: Runtime, options: RequireLoginOptions = {}) {
  // A guard that is misunderstood lets people pass.
  const unknown = typeof options === 'object' ? Object.keys(options).filter(name => name !== 'provider') : [String(options)]
  if (unknown.length > 0) throw new InvalidOptionsError(`requireLogin takes { provider } and nothing else; take out ${unknown.join(', ')}`)
  const { provider } = options
  if (provider !== undefined) providerOf(runtime, provider)
  return async function requireLogin (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const session = request.session as unknown as SessionObject | null
    const accounts = runtime.sessionLogins.of(session)
    const name = provider ?? accounts?.active
    const account = name === undefined ? undefined : accounts?.accounts[name]
    const unproven = account?.login === false
    if (account !== undefined && name !== undefined && !unproven) {
      if (isRecordOf(await runtime.records.read(account.record), { identity: account.providerIdentity })) return
      runtime.sessionLogins.remove(session, name, account.record)
    }
    const wanted = provider ?? runtime.config.defaultProvider
    // Whoever came back as nobody would be sent round and round.
    if (!isPageLoad(request) || (unproven && wanted === name)) {
      const remedy = unproven ? 'its answer proved nobody\'s identity: ask for the scope "openid"' : 'log in and try again'
      const error = new LoginRequiredError(`nobody is logged in${wanted === undefined ? '' : ` with provider "${wanted}"`}; ${remedy}`, { provider: wanted })
      // Also where the app's own error handler does not look at the error's headers.
      reply.header('www-authenticate', 'Bearer')
      throw error
    }
    const returnTo = publicPath(runtime, request.url)
    if (runtime.config.routes === false && wanted === undefined) throw new LoginRequiredError('nobody is logged in, and with several providers and no routes the guard needs a provider', {})
    if (runtime.config.routes === false && wanted !== undefined) return await startLogin(runtime, request, reply, providerOf(runtime, wanted), { returnTo })
    const location = wanted === undefined ? `${routePath(runtime, 'login')}?${new URLSearchParams({ returnTo })}` : loginPath(runtime, wanted, returnTo)
    return noStore(reply).redirect(location, 302)
  }
}
