import type { FastifyRequest } from 'fastify'
import type { SessionContext } from './context.ts'
import { sessionOf } from './fastify-session.ts'

const warned = new WeakSet<SessionContext>()

/**
 * Says, once an app, what a login shows of the session cookie's settings: they are @fastify/session's, and it tells
 * nobody.
 */
export function checkSessionCookie (context: SessionContext, request: FastifyRequest): void {
  if (context.config.baseUrl().protocol === 'https:' && sessionOf(request).cookie.secure !== true) {
    warnOfInsecureCookie(context)
  }
}

/** A cookie without `Secure` also goes out over http, where anybody on the way reads it. */
export function warnOfInsecureCookie (context: SessionContext): void {
  if (warned.has(context)) return
  warned.add(context)
  context.log.warn(
    {},
    "baseUrl is https, and the session cookie goes out without `Secure`: set the session's cookie.secure to true, " +
      "and behind a proxy that ends TLS Fastify's trustProxy, without which requests look like http and `auto` " +
      'means not secure'
  )
}
