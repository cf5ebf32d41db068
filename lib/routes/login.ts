import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ProviderClient } from '../client/provider-client.ts'
import { randomToken } from '../protocol/random.ts'
import { parseScope } from '../protocol/token-set.ts'
import { setParameters, type Parameters } from '../protocol/urls.ts'
import { surplusLogins } from '../session/pending-logins.ts'
import { noStore, sessionOf } from './http.ts'
import { loginCookieOptions, loginCookiePrefix } from './login-cookie.ts'
import { sendPage } from './problem.ts'
import { safeReturnTo } from './return-to.ts'
import { loginPath, publicPath, providerOf, redirectUriOf, type Runtime } from './runtime.ts'

/** What one login asks for beyond the provider's options. */
export interface LoginOptions {
  /** Name of the provider; the default one where absent. */
  provider?: string
  /** Path of the app to come back to. */
  returnTo?: string
  /** In place of the provider's own scope. */
  scope?: string | readonly string[]
  /** Further parameters of the authorization request (`prompt`, `login_hint`, …). */
  params?: Parameters
  /** Seconds since the user last typed a password; checked in the ID token. */
  maxAge?: number
}

/**
 * Starts a login: remembers what the callback has to match and sends the browser to the provider (RFC 6749, section 4.1.1).
 * @throws FST_OAUTH_UNKNOWN_PROVIDER, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE, FST_OAUTH_SESSION_UNAVAILABLE
 */
export async function startLogin (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, options: LoginOptions = {}): Promise<FastifyReply> {
  noStore(reply)
  // A browser that fetches the page in case it is needed must not fill the store, and would lose the cookie anyway.
  if (/prefetch|prerender/.test(String(request.headers['sec-purpose'] ?? request.headers.purpose ?? ''))) return reply.code(403).send()
  sessionOf(request)

  const { config } = provider
  const scope = parseScope(options.scope) ?? [...config.scope]
  const state = randomToken()
  const codeVerifier = randomToken()
  const nonce = scope.includes('openid') ? randomToken() : undefined
  const redirectUri = redirectUriOf(runtime, provider)
  const params = setParameters(setParameters(new URLSearchParams(), config.authorizationParams), options.params)
  const maxAge = options.maxAge ?? numeric(params.get('max_age'))
  if (maxAge !== undefined) params.set('max_age', String(maxAge))
  const url = await provider.authorizationUrl({ redirectUri, scope, state, codeVerifier, nonce, responseMode: config.responseMode === 'query' ? undefined : config.responseMode, params })

  const cookies = loginCookieOptions(runtime, config.responseMode)
  for (const surplus of surplusLogins(request.cookies)) {
    reply.clearCookie(surplus.name, cookies)
    await runtime.pendingLogins.drop(surplus.value)
  }
  const cookie = await runtime.pendingLogins.put({
    provider: provider.name,
    state,
    ...(nonce !== undefined && { nonce }),
    codeVerifier,
    redirectUri,
    returnTo: safeReturnTo(options.returnTo, runtime.config.baseUrl()) ?? publicPath(runtime, '/'),
    scope,
    ...(maxAge !== undefined && { maxAge })
  })
  reply.setCookie(loginCookiePrefix(runtime) + cookie.name, cookie.value, cookies)
  return reply.redirect(url, 302)
}

/** `GET /login` and `GET /login/:provider`. With several providers and none named, a page with one link for each. */
export async function loginRoute (runtime: Runtime, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { provider: named } = request.params as { provider?: string }
  const { returnTo } = request.query as { returnTo?: string }
  const name = named ?? runtime.config.defaultProvider
  if (name !== undefined) return await startLogin(runtime, request, reply, providerOf(runtime, name), returnTo === undefined ? {} : { returnTo })
  const back = safeReturnTo(returnTo, runtime.config.baseUrl())
  const providers = [...runtime.providers.values()].map(({ name, config }) => ({ href: loginPath(runtime, name, back), label: config.title }))
  return sendPage(runtime, reply, 'chooser', { providers })
}

function numeric (value: string | null): number | undefined {
  return value !== null && /^\d+$/.test(value) ? Number(value) : undefined
}
