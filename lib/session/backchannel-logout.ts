import type { FastifyRequest } from 'fastify'
import { InvalidLogoutTokenError } from '../errors.ts'
import { lifeOf } from '../oauth/logout-token.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { channels, type LogoutTrace, noteEnded, traced } from '../util/tracing.ts'
import type { SessionContext } from './context.ts'
import { endUserLogins } from './end-login.ts'

/**
 * Carries out a logout token (OpenID Connect Back-Channel Logout 1.0, sections 2.6 and 2.7): ends the logins of the
 * session at the provider that it names or, where it names none, of the user. It is remembered once that is done: a
 * provider whose logout failed can send it again.
 * @param request for the `onLogout` hook
 * @returns how many logins have ended
 * @throws FST_OAUTH_INVALID_LOGOUT_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE, and what
 *   `onLogout` throws, once everything is done
 */
export function backchannelLogout (
  context: SessionContext, provider: ProviderClient, logoutToken: string, request?: FastifyRequest
): Promise<number> {
  if (!channels.logout.hasSubscribers) return carryOut(context, provider, logoutToken, request)
  const trace: LogoutTrace = { provider: provider.name, reason: 'backchannel' }
  return traced(channels.logout, trace, 'succeeded',
    async () => noteEnded(trace, await carryOut(context, provider, logoutToken, request)))
}

async function carryOut (
  context: SessionContext, provider: ProviderClient, logoutToken: string, request: FastifyRequest | undefined
): Promise<number> {
  const { providerLogouts, clock, log } = context
  const { name, config: { identity, clockTolerance } } = provider
  const claims = await provider.jwts.validateLogoutToken(logoutToken)
  const { sub, sid } = claims
  const used = () => new InvalidLogoutTokenError(
    `a logout token of provider "${name}" is refused: it has been carried out already`,
    { provider: name, reason: 'replayed' })
  if (await providerLogouts.isCarriedOut(identity, claims)) throw used()

  const issuers = provider.jwts.issuerNames(claims.iss)
  // Marked before the logins are looked for: a login that is not found yet finds the mark.
  await Promise.all(issuers.map(iss =>
    providerLogouts.mark(identity, sid === undefined ? { iss, sub: sub! } : { iss, sid })))
  const queries = issuers.map(issuer => sid === undefined
    ? { issuer, subject: sub! }
    : { issuer, sid, ...(sub !== undefined && { subject: sub }) })
  const hookErrors: unknown[] = []
  const ended = await endUserLogins(context, provider, queries, {
    reason: 'backchannel', request, onHookError: error => hookErrors.push(error)
  })
  const isFirst = await providerLogouts.noteCarriedOut(
    identity, claims, lifeOf(claims, { now: clock.now(), clockTolerance }))
  log.info({ event: 'backchannel_logout', provider: name, ended }, 'a provider has ended logins by a logout token')
  if (hookErrors.length > 0) throw hookErrors[0]
  if (!isFirst) throw used()
  return ended
}
