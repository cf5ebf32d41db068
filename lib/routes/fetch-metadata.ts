import type { FastifyRequest } from 'fastify'
import { CrossSiteRequestError } from '../errors.ts'

// Where a request comes from, and what for, by its headers (Fetch Metadata Request Headers).

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
 * Whether a request comes from the app's own pages: by `Sec-Fetch-Site`, and if that is missing (plain http, old
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
