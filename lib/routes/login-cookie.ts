import type { CookieSerializeOptions } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { cookieName, PENDING_LOGIN_TTL } from '../login/transaction.ts'

/** `__Host-` keeps subdomains and plain http from planting a cookie; it needs https and the path `/`. */
export function loginCookiePrefix ({ config }: PluginContext): string {
  const { protocol, pathname } = config.baseUrl()
  return protocol === 'https:' && pathname === '/' ? '__Host-' : ''
}

// The app may have given @fastify/cookie defaults for its own cookies; they are not meant for these.
const NEUTRAL = {
  domain: undefined,
  signed: false,
  expires: undefined,
  partitioned: undefined,
  encode: undefined,
  priority: undefined
} as unknown as CookieSerializeOptions

export function loginCookieOptions ({ config }: PluginContext, responseMode?: string): CookieSerializeOptions {
  const { protocol, pathname } = config.baseUrl()
  // A provider's form_post is a cross-site POST: only SameSite=None comes along, and browsers take that with Secure
  // alone.
  const crossSite = responseMode === 'form_post'
  return {
    ...NEUTRAL,
    path: pathname,
    httpOnly: true,
    secure: protocol === 'https:' || crossSite,
    sameSite: crossSite ? 'none' : 'lax',
    maxAge: PENDING_LOGIN_TTL
  }
}

/** Reads the browser's half of the login with this state, and takes it out of the browser. */
export function takeLoginCookie (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  state: string | undefined,
  responseMode?: string
): string | undefined {
  if (state === undefined) return undefined
  const name = loginCookiePrefix(context) + cookieName(state)
  const value = request.cookies[name]
  if (value !== undefined) reply.clearCookie(name, loginCookieOptions(context, responseMode))
  return value
}
