import type { PluginContext } from './context.ts'
import { InvalidOptionsError } from './errors.ts'
import { identifierText } from './oauth/json.ts'
import type { AnyReply, AnyRequest } from './options.ts'
import type { ProviderName } from './providers/presets/names.ts'
import type { RequireLoginOptions } from './routes/guard-options.ts'
import { createHeaderGuard } from './routes/require-header.ts'
import { createGuard } from './routes/require-login.ts'
import { providerOf } from './session/context.ts'
import { endUserLogins } from './session/end-login.ts'
import type { ProviderHandle } from './standalone/provider.ts'
import { isObject } from './util/is-object.ts'
import { shown } from './util/shown.ts'
import { channels, type LogoutTrace, noteEnded, traced } from './util/tracing.ts'

/** An async hook for `onRequest`, of any kind of server. */
export type LoginGuard = (request: AnyRequest, reply: AnyReply) => Promise<AnyReply | undefined>

/** `app.oauth`: guards, and requests of the app itself. */
export interface AppOAuth {
  /**
   * Returns the handle of a provider, for requests of the app itself: sessions without a request, its own client,
   * device login, token exchange, introspection.
   * @param name a name of the plugin's option `providers`
   * @returns the handle, the same object each time
   * @throws FST_OAUTH_UNKNOWN_PROVIDER
   */
  provider (name: ProviderName): ProviderHandle
  /**
   * Makes an onRequest hook that lets only logged-in users pass: a page load is redirected to the login and comes back,
   * an API call gets 401.
   * @param options.provider the provider that the user must have logged in with; any if absent
   * @param options.scope scope that must be granted
   * @param options.maxAge seconds since the user last authenticated
   * @param options.acrValues authentication context classes, one of which the login must have (RFC 9470)
   * @param options.when whether scope, maxAge and acrValues apply to a user with these claims and to this request
   * @returns the hook
   * @throws FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_UNKNOWN_PROVIDER; the hook throws FST_OAUTH_LOGIN_REQUIRED,
   *   FST_OAUTH_LOGIN_ENDED, FST_OAUTH_REFRESH_LOST, FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_SESSION_UNAVAILABLE,
   *   FST_OAUTH_STORE_UNAVAILABLE, FST_OAUTH_STEP_UP_REQUIRED if the provider cannot give what is asked for, and what
   *   `when` throws; if a page load is sent to the provider, also what `request.oauth.login` throws
   */
  requireLogin (options?: RequireLoginOptions): LoginGuard
  /**
   * Makes an onRequest hook that refuses requests which may change something (all methods but GET, HEAD, OPTIONS and
   * TRACE) if they lack a header of the app's own. A page of another site cannot make the browser send that header
   * unless the app allows it by CORS. For apps whose own scripts make these requests.
   * @param name the header's name; its value may be anything. Default `x-csrf`
   * @returns the hook
   * @throws FST_OAUTH_INVALID_OPTIONS; the hook throws FST_OAUTH_CROSS_SITE_REQUEST, with the reason `missing_header`
   */
  requireHeader (name?: string): LoginGuard
  /**
   * Ends every session of one user, on every process: tokens deleted and revoked, sessions destroyed.
   * @param user.provider the provider that the user logged in with
   * @param user.subject the user's id at that provider (`request.oauth.user.id`)
   * @param user.request the request for which the sessions are ended; if given, `onLogout` is called for each login
   * @returns the number of sessions
   * @throws FST_OAUTH_UNKNOWN_PROVIDER, FST_OAUTH_INVALID_OPTIONS if `subject` is not an id,
   *   FST_OAUTH_STORE_UNAVAILABLE if not all of them could be ended, and what `onLogout` throws, once all have ended
   */
  logoutUser (user: { provider: ProviderName, subject: string, request?: AnyRequest }): Promise<number>
  /**
   * Number of logins that have ended with FST_OAUTH_REFRESH_LOST since this process started: the response to a refresh
   * was lost, and the provider no longer accepts the old token. For a metric.
   */
  readonly lostRefreshes: number
}

/** Makes `app.oauth`. */
export function createAppOAuth (context: PluginContext): AppOAuth {
  return {
    provider: (name: string) => context.providerHandles.get(providerOf(context, name).name)!,
    requireLogin: options => createGuard(context, options) as LoginGuard,
    requireHeader: name => createHeaderGuard(context.config.baseUrl, name) as LoginGuard,
    logoutUser: async (user) => {
      if (!isObject(user)) {
        throw new InvalidOptionsError(`logoutUser takes { provider, subject }, not ${shown(user)}`, {
          reason: 'invalid_option'
        })
      }
      const { provider, subject, request } = user
      const client = providerOf(context, provider)
      const userId = identifierText(subject)
      if (userId === undefined) {
        throw new InvalidOptionsError(
          `logoutUser takes the id of a user as \`subject\`, as request.oauth.user.id has it, not ${shown(subject)}`,
          { provider: client.name, reason: 'invalid_option' }
        )
      }
      const reason = 'logoutUser'
      const end = () => endUserLogins(context, client, { userId }, { reason, request })
      if (!channels.logout.hasSubscribers) return await end()
      const trace: LogoutTrace = { provider: client.name, reason }
      return await traced(channels.logout, trace, 'succeeded', async () => noteEnded(trace, await end()))
    },
    get lostRefreshes () { return context.refresher.lost }
  }
}
