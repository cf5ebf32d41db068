import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PluginContext } from './context.ts'
import { isSecuredMode } from './oauth/response-mode.ts'
import type { ProviderClient } from './providers/provider.ts'
import { hasBackchannelLogout } from './routes/visitors-provider.ts'

// What is imported at first use, so that the start of an app does not wait for it. This file names all of it but
// session/login-signals.ts (few apps use `request.oauth.signal`, and what asks for it does not wait) and
// oauth/apple-client-secret.ts, which needs no more than jose.

/**
 * Loads what the start of an app has left out, one after the other while the app listens: the first login does not wait
 * for it either. What cannot be loaded fails when it is used.
 * @param isClosed whether the app has closed
 */
export async function preload (
  { config, providers, loadActivity }: PluginContext, isClosed: () => boolean
): Promise<void> {
  const some = (needs: (provider: ProviderClient) => boolean) => [...providers.values()].some(needs)
  const hasIdTokens = some(provider => provider.hasIdTokens)
  const hasBackchannel = some(hasBackchannelLogout)
  const usesDpop = some(({ config }) => config.dpop === true)
  const parts: [isNeeded: boolean, load: () => Promise<unknown>][] = [
    [config.dispatcher === undefined, () => import('undici')],
    [some(({ config }) => config.issuer !== undefined), () => import('./oauth/discovery.ts')],
    [hasIdTokens, () => import('./oauth/id-token.ts')],
    [hasIdTokens, () => import('./oauth/jwks.ts')],
    [
      some(({ config }) => config.pushedAuthorizationRequests === true),
      () => import('./providers/pushed-authorization.ts')
    ],
    [some(({ config }) => isSecuredMode(config.responseMode)), () => import('./oauth/signed-response.ts')],
    [some(({ config }) => config.requestObjects === true), () => import('./providers/signed-request.ts')],
    [usesDpop, () => import('./providers/dpop.ts')],
    [usesDpop, () => import('./oauth/dpop-proof.ts')],
    [hasIdTokens, () => import('./oauth/logout-token.ts')],
    [hasBackchannel, () => import('./session/backchannel-logout.ts')],
    [hasBackchannel, () => import('./routes/backchannel-logout.ts')],
    [config.routes !== false && config.routes.session !== undefined, () => import('./routes/session.ts')],
    [some(({ config }) => config.clientKeys.some(({ use }) => use === 'enc')), () => import('./oauth/decrypt.ts')],
    [some(({ config }) => config.securityProfile !== undefined), () => import('./providers/profile-metadata.ts')],
    [some(({ config }) => config.usesCertificate === true), () => import('./oauth/mtls-aliases.ts')],
    [some(signsAssertions), () => import('./oauth/client-assertion.ts')],
    [some(({ config }) => config.fetchProfile !== undefined), () => import('./calls/fetch-profile.ts')],
    [hasIdTokens || some(({ config }) => config.refreshProfile), () => import('./session/refreshed-identity.ts')],
    [loadActivity !== undefined, () => import('./session/activity.ts')],
    [true, () => import('./http/content-coding.ts')],
    [true, () => import('./routes/lost-login.ts')],
    [true, () => import('./routes/popup-page.ts')],
    [true, () => import('./calls/authorized-fetch.ts')]
  ]
  for (const [isNeeded, load] of parts) {
    await nextTurn(undefined, { ref: false })
    if (isClosed()) return
    if (isNeeded) await load().catch(() => {})
  }
}

function signsAssertions ({ config: { clientAuthentication, signingKey } }: ProviderClient): boolean {
  if (clientAuthentication === undefined) return signingKey !== undefined
  return clientAuthentication === 'private_key_jwt' || clientAuthentication === 'client_secret_jwt'
}
