import type { FastifyRequest } from 'fastify'
import { CrossSiteRequestError, InvalidOptionsError } from '../errors.ts'
import { shown } from '../util/shown.ts'
import { refuseCrossSite } from './fetch-metadata.ts'
import { refuseRequest } from './guard-options.ts'
import { isOwnRoute } from './own-route.ts'

/** Methods that change nothing (RFC 9110, section 9.2.1). */
const SAFE = ['GET', 'HEAD', 'OPTIONS', 'TRACE']
/** A field name (RFC 9110, section 5.1). */
const NAME = /^[!#$%&'*+.^`|~\w-]+$/
/** Headers that a page of any site can have the browser send without asking first (Fetch standard, section 2.2.2). */
const ANYONES = [
  'accept', 'accept-language', 'content-language', 'content-type', 'content-length', 'range', 'cookie', 'origin',
  'referer', 'host', 'user-agent', 'connection', 'accept-encoding'
]

/**
 * Makes a hook that refuses a request which may change something if it lacks a header of the app's own. A page of
 * another site cannot add it: the browser asks the app by CORS before it sends such a header. Scripts cannot add
 * headers to a WebSocket, and CORS does not guard it: one from another origin is refused (RFC 6455, section 10.2).
 * @throws FST_OAUTH_INVALID_OPTIONS; the hook throws FST_OAUTH_CROSS_SITE_REQUEST
 */
export function createHeaderGuard (baseUrl: () => URL, name = 'x-csrf') {
  refuseRequest('requireHeader', name)
  const header = typeof name === 'string' ? name.toLowerCase() : ''
  if (!NAME.test(header) || ANYONES.includes(header) || /^(?:sec|proxy)-/.test(header)) {
    throw new InvalidOptionsError(
      'requireHeader takes the name of a header that only the app\'s own scripts send, such as \'x-csrf\', not ' +
        shown(name)
    )
  }
  return async function requireHeader (request: FastifyRequest): Promise<undefined> {
    if (request.headers.upgrade?.toLowerCase() === 'websocket') refuseCrossSite(request, baseUrl())
    // The plugin's own routes check where a request comes from.
    if (SAFE.includes(request.method) || isOwnRoute(request)) return
    const value = request.headers[header]
    if (value !== undefined && value !== '') return
    throw new CrossSiteRequestError(
      `a request with the method ${request.method} needs the header ${header} here; scripts of the app's own add it, ` +
        `as in ${header}: 1`, { reason: 'missing_header' })
  }
}
