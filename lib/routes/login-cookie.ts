import type { CookieSerializeOptions } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import {
  cookieName, cookiePath, LOGIN_COOKIE_TTL, MAX_PENDING_LOGINS, PENDING_LOGIN_TTL, type PendingLogin, surplusLogins
} from '../login/transaction.ts'
import { isPostedMode } from '../oauth/response-mode.ts'
import { checkPostedMode } from '../options/base-url.ts'
import type { ProviderConfig } from '../providers/config.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { safeReturnTo } from './return-to.ts'

type FixedCookieOptions = CookieSerializeOptions & { secure: boolean }

/** What the cookies of the pending logins at one provider have in common. */
interface LoginCookies {
  prefix: string
  /** What follows the name in a Set-Cookie header: the attributes after the value, and what clears the cookie. */
  attributes: string
  cleared: string
}

/** They do not change once `baseUrl` is known. */
const prepared = new WeakMap<ProviderConfig, LoginCookies>()

function loginCookies (
  context: PluginContext, { config }: ProviderClient, { server }: FastifyRequest
): LoginCookies {
  const known = prepared.get(config)
  if (known !== undefined) return known
  const options = { ...loginCookieOptions(context, config.responseMode), maxAge: LOGIN_COOKIE_TTL }
  const write = (options: FixedCookieOptions) => server.serializeCookie('name', '', options).slice('name='.length)
  const made = {
    prefix: loginCookiePrefix(context),
    attributes: write(options),
    cleared: write({ ...options, maxAge: 0, expires: new Date(0) })
  }
  prepared.set(config, made)
  return made
}

/** `__Host-` keeps subdomains and plain http from setting the cookie; it needs https and the path `/`. */
function loginCookiePrefix ({ config }: PluginContext): string {
  const { protocol, pathname } = config.baseUrl()
  return protocol === 'https:' && pathname === '/' ? '__Host-' : ''
}

// In place of defaults that the app has given @fastify/cookie for its own cookies.
const NEUTRAL = {
  domain: undefined,
  signed: false,
  expires: undefined,
  partitioned: undefined,
  encode: undefined,
  priority: undefined
} as unknown as CookieSerializeOptions

/** @throws FST_OAUTH_INVALID_OPTIONS if `baseUrl` is plain http and the response is posted */
export function loginCookieOptions ({ config }: PluginContext, responseMode?: string): FixedCookieOptions {
  const { protocol, pathname } = config.baseUrl()
  // A posted response is a request of another site: only a SameSite=None cookie is sent with it, and that needs Secure.
  const crossSite = isPostedMode(responseMode)
  if (crossSite) checkPostedMode(config.baseUrl())
  return {
    ...NEUTRAL,
    path: pathname,
    httpOnly: true,
    secure: protocol === 'https:' || crossSite,
    sameSite: crossSite ? 'none' : 'lax',
    maxAge: PENDING_LOGIN_TTL
  }
}

/** A pending login as the login route makes it. */
export type BegunLogin = Omit<PendingLogin, 'provider' | 'providerIdentity' | 'expiresAt'>

/**
 * Stores a pending login, which it completes, and binds it to the browser by a cookie. A browser has ten of them at
 * most: the oldest go.
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function rememberLogin (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: BegunLogin
): Promise<void> {
  const { pendingLogins } = context
  const { prefix, attributes, cleared } = loginCookies(context, provider, request)
  const surplus = surplusLogins(request.cookies)
  for (const { name } of surplus) reply.header('set-cookie', `${name}=${cleared}`)
  // A browser of this app has no more than that; made-up cookies are only cleared.
  for (const { value } of surplus.slice(0, MAX_PENDING_LOGINS)) await pendingLogins.drop(value)
  const { name, config: { identity } } = provider
  const named = login as Omit<PendingLogin, 'expiresAt'>
  named.provider = name
  named.providerIdentity = identity
  const cookie = await pendingLogins.put(named)
  reply.header('set-cookie', `${prefix}${cookie.name}=${cookie.value}${attributes}`)
}

/**
 * Takes the pending login that an authorization response belongs to, and its cookie: both are used once.
 * @param state of the response
 * @param cause the error that the response names, for the log
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_STORE_UNAVAILABLE
 */
export function takePendingLogin (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  state: string | undefined, cause: Error | undefined
): Promise<PendingLogin> {
  const { prefix, cleared } = loginCookies(context, provider, request)
  const cookie = state === undefined ? '' : prefix + cookieName(state)
  const value = request.cookies[cookie]
  if (value !== undefined) reply.header('set-cookie', `${cookie}=${cleared}`)
  return context.pendingLogins.consume(state, value, provider.name, provider.config.identity, cause)
}

/**
 * What the browser's cookie says of the login that a response belongs to, also if that is over.
 * @returns undefined if the browser has no such cookie
 */
export function cookieOfResponse (
  context: PluginContext, request: FastifyRequest, provider: ProviderClient, state: string
): { returnTo: string | undefined } | undefined {
  const { prefix } = loginCookies(context, provider, request)
  const value = request.cookies[prefix + cookieName(state)]
  return value === undefined ? undefined : { returnTo: safeReturnTo(cookiePath(value), context.config.baseUrl()) }
}

/** Whether the login of an authorization response needs the session that it began in. The login stays. */
export async function needsSession (
  context: PluginContext, request: FastifyRequest, provider: ProviderClient, state: string | undefined
): Promise<boolean> {
  if (state === undefined) return false
  const { prefix } = loginCookies(context, provider, request)
  return await context.pendingLogins.needsSession(request.cookies[prefix + cookieName(state)])
}
