import type { FastifyRequest } from 'fastify'
import { sessionOf } from './http.ts'
import type { Runtime } from './runtime.ts'

const warned = new WeakSet<Runtime>()

/** Says, once an app, what a login shows of the session cookie's settings: they are @fastify/session's, and it tells nobody. */
export function inspectSessionCookie (runtime: Runtime, request: FastifyRequest): void {
  if (runtime.config.baseUrl().protocol === 'https:' && sessionOf(request).cookie.secure !== true) warnOfInsecureCookie(runtime)
}

/** A cookie without `Secure` also goes out over http, where anybody on the way reads it. */
export function warnOfInsecureCookie (runtime: Runtime): void {
  if (warned.has(runtime)) return
  warned.add(runtime)
  runtime.log.warn({}, "baseUrl is https, and the session cookie goes out without `Secure`: set the session's cookie.secure to true, " +
    "and behind a proxy that ends TLS Fastify's trustProxy, without which requests look like http and `auto` means not secure")
}
