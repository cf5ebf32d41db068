import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PluginContext } from './context.ts'
import { isSecuredMode } from './oauth/response-mode.ts'
import type { ProviderClient } from './providers/provider.ts'
import { hasBackchannelLogout } from './routes/visitors-provider.ts'

// What is imported at first use, so that the start of an app does not wait for it. This file names all of it but
// session/login-signals.ts: few apps use `request.oauth.signal`, and what asks for it does not wait.

/**
 * Loads what the start of an app has left out, one after the other while the app listens: the first login does not wait
 * for it either. What cannot be loaded fails where it is used.
 * @param isClosed whether the app has closed
 */
export async function preload (
  { config, providers, loadActivity }: PluginContext, isClosed: () => boolean
): Promise<void> {
  const isNeeded = (by: (provider: ProviderClient) => boolean) => [...providers.values()].some(by)
  const parts = [
    config.dispatcher === undefined && (() => import('undici')),
    isNeeded(({ config }) => config.issuer !== undefined) && (() => import('./oauth/discovery.ts')),
    isNeeded(({ hasIdTokens }) => hasIdTokens) && (() => import('./oauth/id-token.ts')),
    isNeeded(({ hasIdTokens }) => hasIdTokens) && (() => import('./oauth/jwks.ts')),
    isNeeded(({ config }) => config.pushedAuthorizationRequests === true) &&
      (() => import('./providers/pushed-authorization.ts')),
    isNeeded(({ config }) => isSecuredMode(config.responseMode)) && (() => import('./oauth/signed-response.ts')),
    isNeeded(({ config }) => config.requestObjects === true) && (() => import('./providers/signed-request.ts')),
    isNeeded(({ config }) => config.dpop === true) && (() => import('./providers/dpop.ts')),
    isNeeded(({ config }) => config.dpop === true) && (() => import('./oauth/dpop-proof.ts')),
    isNeeded(({ hasIdTokens }) => hasIdTokens) && (() => import('./oauth/logout-token.ts')),
    isNeeded(hasBackchannelLogout) && (() => import('./session/backchannel-logout.ts')),
    isNeeded(hasBackchannelLogout) && (() => import('./routes/backchannel-logout.ts')),
    config.routes !== false && config.routes.session !== undefined && (() => import('./routes/session.ts')),
    isNeeded(({ config }) => config.clientKeys.some(({ use }) => use === 'enc')) &&
      (() => import('./oauth/decrypt.ts')),
    isNeeded(({ config }) => config.securityProfile !== undefined) && (() => import('./providers/profile-metadata.ts')),
    isNeeded(({ config }) => config.usesCertificate === true) && (() => import('./oauth/mtls-aliases.ts')),
    isNeeded(signsAssertions) && (() => import('./oauth/client-assertion.ts')),
    isNeeded(({ config }) => config.fetchProfile !== undefined) && (() => import('./calls/fetch-profile.ts')),
    isNeeded(({ hasIdTokens, config }) => hasIdTokens || config.refreshProfile) &&
      (() => import('./session/refreshed-identity.ts')),
    loadActivity !== undefined && (() => import('./session/activity.ts')),
    () => import('./http/content-coding.ts'),
    () => import('./routes/lost-login.ts'),
    () => import('./routes/popup-page.ts'),
    () => import('./calls/authorized-fetch.ts')
  ]
  for (const load of parts) {
    await nextTurn(undefined, { ref: false })
    if (isClosed()) return
    if (load !== false) await load().catch(() => {})
  }
}

function signsAssertions ({ config: { clientAuthentication, signingKey } }: ProviderClient): boolean {
  if (clientAuthentication === undefined) return signingKey !== undefined
  return clientAuthentication === 'private_key_jwt' || clientAuthentication === 'client_secret_jwt'
}
