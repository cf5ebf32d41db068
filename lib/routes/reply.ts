import type { } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { CrossSiteRequestError } from '../errors.ts'

/** Keeps a response out of caches: those of login, callback and logout are for one browser at one moment. */
export function noStore (reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store')
}

/** Whether the client is a browser that takes a page. */
export function wantsHtml (request: FastifyRequest): boolean {
  return request.headers.accept?.includes('text/html') === true
}

/** Whether a browser will show the response as a page, after a GET or a form's POST. */
export function isNavigation (request: FastifyRequest): boolean {
  const mode = request.headers['sec-fetch-mode']
  return wantsHtml(request) && (mode === undefined || mode === 'navigate')
}

/** Whether a browser loads a page: then it can be sent to log in and come back. */
export function isPageLoad (request: FastifyRequest): boolean {
  return request.method === 'GET' && isNavigation(request)
}

/** Whether a browser loads a page ahead of time, which may never be shown. */
export function isPrefetch ({ headers }: FastifyRequest): boolean {
  const purpose = headers['sec-purpose'] ?? headers.purpose
  return purpose !== undefined && /prefetch|prerender/.test(String(purpose))
}

/**
 * Answers HEAD, for which Fastify adds a route beside each GET route of an app. A safe method does not begin or finish
 * a login (RFC 9110, section 9.2.1).
 */
export function refuseHead (reply: FastifyReply): FastifyReply {
  return noStore(reply).code(405).header('allow', 'GET, POST').send()
}

/**
 * Whether a request comes from the app's own pages: by `Sec-Fetch-Site`, and where that is missing (plain http, old
 * browsers) by `Origin`, of which `null` is another site. A request with neither is not a browser's.
 */
export function isFromOwnSite (request: FastifyRequest, base: URL): boolean {
  const site = request.headers['sec-fetch-site']
  const { origin } = request.headers
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return origin === undefined || origin === base.origin
}

/** Refuses a request that another site made the browser send. @throws FST_OAUTH_CROSS_SITE_REQUEST */
export function refuseCrossSite (request: FastifyRequest, base: URL): void {
  if (!isFromOwnSite(request, base)) {
    throw new CrossSiteRequestError('the request came from another site and was not carried out')
  }
}

/**
 * Refuses a request that is not a navigation of a whole window (Fetch Metadata, sections 2.1 and 2.2): an image, a
 * script or a frame on any page could begin and finish a login that the user never sees. Requests without these headers
 * pass: they come from old browsers, or not from a browser.
 * @throws FST_OAUTH_CROSS_SITE_REQUEST
 */
export function refuseEmbedded ({ headers }: FastifyRequest): void {
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': dest } = headers
  if ((mode === undefined || mode === 'navigate') && (dest === undefined || dest === 'document')) return
  throw new CrossSiteRequestError(
    'a login begins and ends with a page load in a window, not with an image, a frame or a script; nothing was done',
    { reason: 'embedded' }
  )
}

/** Whether a frame on a page asks (Fetch Metadata, section 2.1). */
export function isFramed ({ headers }: FastifyRequest): boolean {
  return headers['sec-fetch-dest'] === 'iframe'
}

/** Marks the plugin's own routes, in their `config`. */
const kOwnRoute = Symbol('fastify-oauth-session.route')

/** The `config` of the plugin's own routes. */
export const ownRoute: Record<symbol, true> = { [kOwnRoute]: true }

/** Whether a request has come to one of the plugin's own routes, of any registration. */
export function isOwnRoute ({ routeOptions }: FastifyRequest): boolean {
  return (routeOptions.config as unknown as Record<symbol, unknown> | undefined)?.[kOwnRoute] === true
}

/** Parameters of a callback, from the query or from a form that the provider made the browser post. */
export function callbackParams (request: FastifyRequest): URLSearchParams {
  if (request.method !== 'POST') {
    const { url } = request
    const start = url.indexOf('?')
    return new URLSearchParams(start < 0 ? '' : url.slice(start + 1))
  }
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(postedFields(request))) {
    // A JSON body can hold anything; what is not a string counts as empty.
    for (const item of Array.isArray(value) ? value.slice(0, MAX_FIELDS) : [value]) {
      params.append(name, typeof item === 'string' ? item : '')
    }
  }
  return params
}

/** Members that a posted form may have; an authorization response has a dozen. */
const MAX_FIELDS = 100

/**
 * The fields of a posted form or JSON object. A body of another kind (text, list, bytes) has none, nor has one with
 * more members than any of these forms: parsers and limits may be the app's own.
 */
function postedFields ({ body }: FastifyRequest): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body) || ArrayBuffer.isView(body)) return {}
  return Object.keys(body).length > MAX_FIELDS ? {} : body as Record<string, unknown>
}

/** One field of a posted form or JSON body: for a secret, which must not be in a URL. */
export function postedField (request: FastifyRequest, name: string): string | undefined {
  const fields = postedFields(request)
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined
  return typeof value === 'string' ? value : undefined
}

/** One field of a posted form or JSON body, or a parameter of the query. */
export function field (request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Record<string, unknown> | null | undefined)?.[name]
  return postedField(request, name) ?? (typeof value === 'string' ? value : undefined)
}
