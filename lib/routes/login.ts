import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { CrossSiteRequestError, InvalidOptionsError, LoginRequiredError } from '../errors.ts'
import { challengeMethod } from '../login/challenge-method.ts'
import { MAX_PENDING_LOGINS, surplusLogins } from '../login/transaction.ts'
import { parseScope } from '../oauth/token-set.ts'
import { isLoopback, type RequestParameters, setParameters } from '../oauth/urls.ts'
import { describeError } from '../pages/pages.ts'
import type { ProviderName } from '../providers/presets/names.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { sessionOf } from '../session/fastify-session.ts'
import { linkTarget } from '../session/link-account.ts'
import { checkSessionCookie } from '../session/session-cookie.ts'
import { randomToken } from '../util/random.ts'
import { loginCookieOptions, loginCookiePrefix } from './login-cookie.ts'
import { sendLoginForm } from './password-login.ts'
import { loginPath, publicPath, redirectUriOf, requestedPath } from './paths.ts'
import { isFromOwnSite, isPageLoad, noStore, refuseEmbedded, refuseHead } from './reply.ts'
import { readReturnTo, safeReturnTo } from './return-to.ts'
import { sendPage } from './send-error.ts'
import { isInteractive, visitorsProvider } from './visitors-provider.ts'

/** What one login asks for beyond the provider's options. */
export interface LoginOptions {
  /** Name of the provider; the default one where absent. */
  provider?: ProviderName
  /** Path of the app to come back to. */
  returnTo?: string
  /** In place of the provider's own scope. */
  scope?: string | readonly string[]
  /** Further parameters of the authorization request (`prompt`, `login_hint`, …). */
  params?: RequestParameters
  /** Seconds since the user last typed a password; checked in the ID token. */
  maxAge?: number
  /** Adds the account to the login of this session, in place of a new login. */
  link?: boolean
}

/**
 * Starts a login: remembers what the callback has to match and sends the browser to the provider (RFC 6749, section
 * 4.1.1).
 * @throws FST_OAUTH_UNKNOWN_PROVIDER, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE,
 *   FST_OAUTH_SESSION_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS where `maxAge` could not be checked,
 *   FST_OAUTH_CROSS_SITE_REQUEST
 */
export async function sendToProvider (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  provider: ProviderClient,
  options: LoginOptions = {}
): Promise<FastifyReply> {
  noStore(reply)
  if (request.method === 'HEAD') return refuseHead(reply)
  // A browser that fetches the page in case it is needed must not fill the store, and would lose the cookie anyway.
  if (/prefetch|prerender/.test(String(request.headers['sec-purpose'] ?? request.headers.purpose ?? ''))) {
    return reply.code(403).send()
  }
  refuseEmbedded(request)
  if (options.link === true && !isFromOwnSite(request, context.config.baseUrl())) {
    return askBeforeLink(context, request, reply, provider)
  }
  const session = sessionOf(request)
  warnOfOtherName(context, request)
  checkSessionCookie(context, request)

  const { config } = provider
  const linkTo = options.link === true ? linkTarget(context, session) : undefined
  if (options.link === true && linkTo === undefined) {
    throw new LoginRequiredError('an account can be added only to a login; log in first', { provider: provider.name })
  }
  const scope = parseScope(options.scope) ?? [...config.scope]
  const state = randomToken()
  const implicit = config.grantType === 'implicit'
  const codeChallengeMethod = challengeMethod(config)
  const codeVerifier = codeChallengeMethod === undefined ? undefined : randomToken()
  const nonce = provider.expectsIdToken(scope) ? randomToken() : undefined
  // Nothing but an ID token tells when the user typed a password; a promise that nobody can check is none.
  if (options.maxAge !== undefined && nonce === undefined) {
    throw new InvalidOptionsError(
      `a login at provider "${provider.name}" cannot have a maxAge: only an ID token tells it; ask for the scope ` +
        '"openid" at a provider with an `issuer`',
      { provider: provider.name }
    )
  }
  const redirectUri = redirectUriOf(context, provider)
  const params = setParameters(setParameters(new URLSearchParams(), config.authorizationParams), options.params)
  const maxAge = options.maxAge ?? numeric(params.get('max_age'))
  if (maxAge !== undefined) params.set('max_age', String(maxAge))
  const url = await provider.authorizationUrl({
    responseType: responseTypeOf(implicit, nonce),
    redirectUri,
    scope,
    state,
    codeVerifier,
    codeChallengeMethod,
    nonce,
    responseMode: config.responseMode === 'query' ? undefined : config.responseMode,
    params
  })

  const cookies = loginCookieOptions(context, config.responseMode)
  const surplus = surplusLogins(request.cookies)
  for (const { name } of surplus) reply.clearCookie(name, cookies)
  // As many as a browser can have come by honestly; made-up ones end with their cookies.
  for (const { value } of surplus.slice(0, MAX_PENDING_LOGINS)) await context.pendingLogins.drop(value)
  const cookie = await context.pendingLogins.put({
    provider: provider.name,
    providerIdentity: config.identity,
    state,
    ...(nonce !== undefined && { nonce }),
    ...(codeVerifier !== undefined && { codeVerifier }),
    redirectUri,
    ...(linkTo !== undefined && { linkTo }),
    returnTo: readReturnTo(request, options.returnTo, context.config.baseUrl()) ?? publicPath(context, '/'),
    scope,
    ...(maxAge !== undefined && { maxAge })
  })
  reply.setCookie(loginCookiePrefix(context) + cookie.name, cookie.value, cookies)
  return reply.redirect(url, 302)
}

/**
 * Another site may lead to a route that adds an account while the browser is logged in at the provider as an attacker.
 * The person is asked first; the way on is a link of this page, and following it is a `same-origin` request.
 */
function askBeforeLink (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  provider: ProviderClient
): FastifyReply {
  const error = new CrossSiteRequestError(
    `the request to add an account at provider "${provider.name}" came from another site and was not carried out`,
    { provider: provider.name, reason: 'link' })
  if (!isPageLoad(request)) throw error
  const { code, statusCode, reason } = error
  request.log.warn({ code, provider: provider.name, reason }, error.message)
  const here = safeReturnTo(requestedPath(context, request), context.config.baseUrl())
  const { title, message } = describeError(code, statusCode, provider.config.title, reason)
  const actions = [{ href: publicPath(context, '/'), label: 'Back to the app' }]
  if (here !== undefined) actions.unshift({ href: here, label: `Continue to ${provider.config.title}` })
  return sendPage(context, reply.code(statusCode), 'error', {
    code,
    statusCode,
    title,
    message,
    requestId: request.id,
    actions
  })
}

const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip']

// To a browser localhost and 127.0.0.1 are strangers: what the one is told in a cookie, the other never hears.
// Fastify's log names the second, people type the first, and the login ends in FST_OAUTH_STATE_MISMATCH without a word
// of why.
function warnOfOtherName (context: PluginContext, request: FastifyRequest): void {
  const base = context.config.baseUrl()
  const { hostname, host } = request
  if (hostname === base.hostname || !isLoopback(hostname) || !isLoopback(base.hostname)) return
  // A proxy on this machine that writes its own name for the app into Host: it listens on another port, or says that it
  // is there.
  if (host.slice(hostname.length) !== base.host.slice(base.hostname.length)) return
  if (PROXY_HEADERS.some(name => request.headers[name] !== undefined)) return
  request.log.warn(
    `this login begins at ${hostname} and comes back to ${base.hostname}, where the browser has none of its ` +
      `cookies; open the app at ${base.origin}, as baseUrl has it`
  )
}

/** `GET /login` and `GET /login/:provider`. With several providers and none named, a page with one link for each. */
export async function loginRoute (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const { provider: named } = request.params as { provider?: string }
  const { returnTo } = request.query as { returnTo?: string }
  const back = readReturnTo(request, returnTo, context.config.baseUrl())
  const provider = named === undefined ? soleLogin(context) : visitorsProvider(context, named)
  if (provider === undefined) {
    const providers = interactiveProviders(context).map(({ name, config }) => ({
      href: loginPath(context, name, back),
      label: config.title
    }))
    return sendPage(context, reply, 'chooser', { providers })
  }
  if (provider.config.grantType === 'password') return sendLoginForm(context, reply, provider, { returnTo: back })
  const params: Record<string, string> = {}
  for (const param of provider.config.forwardedLoginParams) {
    const value = (request.query as Record<string, unknown>)[param]
    if (typeof value === 'string') params[param] = value
  }
  const options = { params, ...(back !== undefined && { returnTo: back }) }
  return await sendToProvider(context, request, reply, provider, options)
}

function interactiveProviders (context: PluginContext): ProviderClient[] {
  return [...context.providers.values()].filter(isInteractive)
}

/** The provider that `/login` means, where there is no choice to make. */
function soleLogin (context: PluginContext): ProviderClient | undefined {
  const { defaultProvider } = context.config
  const chosen = defaultProvider === undefined ? undefined : context.providers.get(defaultProvider)
  if (chosen !== undefined && isInteractive(chosen)) return chosen
  const all = interactiveProviders(context)
  return all.length === 1 ? all[0] : undefined
}

// OpenID Connect Core, section 3.2.2.1; RFC 6749, section 4.2.1.
function responseTypeOf (implicit: boolean, nonce: string | undefined): string {
  if (!implicit) return 'code'
  return nonce === undefined ? 'token' : 'id_token token'
}

function numeric (value: string | null): number | undefined {
  return value !== null && /^\d+$/.test(value) ? Number(value) : undefined
}
