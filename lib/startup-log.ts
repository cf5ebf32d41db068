import type { PluginContext } from './context.ts'
import type { HostApp } from './options/configuration.ts'
import { backchannelLogoutUriOf, redirectUriOf } from './routes/paths.ts'
import { hasBackchannelLogout } from './routes/visitors-provider.ts'
import { warnOfInsecureCookie } from './session/session-cookie.ts'

// The plugin's log lines at start. None of these findings keeps the app from starting.

/** Makes a function that, when the app's own URL is known, logs what has to be registered with each provider. */
export function announcer (context: PluginContext, { cookie }: HostApp): (base: URL | undefined) => void {
  let announced: string | undefined
  return (base) => {
    if (base === undefined || base.href === announced) return
    announced = base.href
    for (const provider of context.providers.values()) {
      const { name, config: { grantType } } = provider
      if (grantType === 'authorization_code' || grantType === 'implicit') {
        const message = `register at ${name}: ${redirectUriOf(context, provider, base)}`
        context.log.info({ event: 'redirect_uri_announced', provider: name }, message)
      }
      const logoutUri = hasBackchannelLogout(provider) ? backchannelLogoutUriOf(context, provider, base) : undefined
      if (logoutUri !== undefined) {
        const message = `back-channel logout URI for ${name}, where it has that: ${logoutUri}`
        context.log.info({ event: 'backchannel_logout_announced', provider: name }, message)
      }
    }
    if (base.protocol === 'https:' && cookie?.secure === false) warnOfInsecureCookie(context)
  }
}

/** Warns of options that are not the plugin's own and have no effect. */
export function warnOfForeignOptions ({ log }: PluginContext, names: readonly string[]): void {
  if (names.length === 0) return
  const message = `fastify-oauth-session leaves these options alone, which are not its own: ${names.join(', ')}`
  log.warn({ event: 'options_ignored' }, message)
}

/** Warns of legacy grants. */
export function warnOfLegacyGrants ({ config, log }: PluginContext): void {
  for (const { name: provider, grantType } of config.providers.values()) {
    if (grantType === 'implicit') {
      log.warn(
        { event: 'legacy_grant_used', provider },
        "grantType 'implicit' puts tokens into the browser's address bar and is no longer recommended; use " +
          "'authorization_code', which protects its code with PKCE"
      )
    }
    if (grantType === 'password') {
      log.warn(
        { event: 'legacy_grant_used', provider },
        "grantType 'password' hands the user's password to this app and is no longer recommended; use " +
          "'authorization_code' where the provider has it"
      )
    }
  }
}

/** Seconds before the end of a client certificate from which the app is warned. */
const EXPIRY_NOTICE = 30 * 86_400

/** Warns of client certificates that have expired or will soon. */
export function warnOfExpiringCertificates ({ config, clock, log }: PluginContext): void {
  for (const { name: provider, clientCertificate } of config.providers.values()) {
    if (clientCertificate === undefined || clientCertificate.expiresAt > clock.now() + EXPIRY_NOTICE) continue
    const { expiresAt } = clientCertificate
    const ends = `${expiresAt < clock.now() ? 'expired' : 'expires'} on ${new Date(expiresAt * 1000).toISOString()}`
    log.warn(
      { event: 'client_certificate_expires', provider },
      `the clientCertificate of provider "${provider}" ${ends}; replace it`
    )
  }
}

/** Warns of stores and settings of stores that would lose logins. */
export function inspectStores ({ config, sessionStore, log }: PluginContext): void {
  if (config.tokenStore === undefined && sessionStore.isShared === true) {
    log.warn(
      { event: 'token_store_unsafe' },
      'fastify-oauth-session keeps tokens in the session store: refreshes are coordinated within this process ' +
        'only. Where several processes share that store, give tokenStore: redisStore(client) from ' +
        'fastify-oauth-session/redis'
    )
  }
  config.tokenStore?.inspect?.().then(
    findings => {
      for (const finding of findings) log.warn({ event: 'token_store_unsafe' }, `fastify-oauth-session: ${finding}`)
    },
    () => {}
  )
}
