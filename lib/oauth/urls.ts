import { InsecureTransportError, InvalidOptionsError } from '../errors.ts'

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** Tells whether a host is this very machine, where plain http gives nothing away. */
export function isLoopback (hostname: string): boolean {
  return LOOPBACK.test(hostname)
}

/** Tells whether a URL may carry secrets: https, or http that does not leave the machine. */
export function isSecureUrl (url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

/**
 * Parses an endpoint's URL and refuses plain http (RFC 6749, section 3.1: TLS is required).
 * @param what the endpoint's name in the provider's metadata, for the error
 * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
 */
export function secureEndpoint (value: string, what: string, provider: string, allowInsecure: boolean): URL {
  if (!URL.canParse(value)) {
    throw new InvalidOptionsError(
      `${what} of provider "${provider}" is no URL; check what its metadata says, or write the endpoint into its ` +
        'options',
      { provider, reason: 'invalid_metadata' }
    )
  }
  const url = new URL(value)
  if (!isSecureUrl(url) && !(allowInsecure && url.protocol === 'http:')) {
    throw new InsecureTransportError(
      `${what} of provider "${provider}" is not https; set allowInsecureRequests only for a provider inside your ` +
        'own network',
      { provider })
  }
  return url
}

/** Adds parameters to a URL's query and leaves what stands there byte for byte. */
export function appendQuery (url: string, params: URLSearchParams): string {
  const query = params.toString()
  if (query === '') return url
  const hash = url.indexOf('#')
  const fragment = hash < 0 ? '' : url.slice(hash)
  const base = hash < 0 ? url : url.slice(0, hash)
  const joint = !base.includes('?') ? '?' : /[?&]$/.test(base) ? '' : '&'
  return `${base}${joint}${query}${fragment}`
}

/**
 * Adds parameters to an endpoint's query: one that it names already is replaced, and the rest stays byte for byte. A
 * parameter of a request must not be there twice (RFC 6749, section 3.1).
 */
export function setQuery (endpoint: string, params: URLSearchParams): string {
  const [, base = '', query, fragment = ''] = /^([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(endpoint)!
  if (query === undefined) return appendQuery(endpoint, params)
  const isKept = (pair: string) => ![...new URLSearchParams(pair).keys()].some(name => params.has(name))
  return appendQuery(`${base}?${query.split('&').filter(isKept).join('&')}${fragment}`, params)
}

export type ParameterValue = string | number | boolean | readonly (string | number | boolean)[] | null | undefined
export type RequestParameters = Record<string, ParameterValue> | URLSearchParams

/**
 * Copies parameters into a form or query: a list is repeated (RFC 8707), falsy values stay, null and undefined are left
 * out.
 */
export function setParameters (target: URLSearchParams, params: RequestParameters | undefined): URLSearchParams {
  if (params === undefined) return target
  if (params instanceof URLSearchParams) {
    for (const key of new Set(params.keys())) target.delete(key)
    for (const [key, value] of params) target.append(key, value)
    return target
  }
  for (const [key, value] of Object.entries(params)) {
    if (value === undefined || value === null) continue
    target.delete(key)
    if (Array.isArray(value)) for (const item of value) target.append(key, String(item))
    else target.append(key, String(value))
  }
  return target
}

/** Puts parameters together, the later ones over the earlier; undefined where there are none. */
export function mergeParameters (...all: (RequestParameters | undefined)[]): RequestParameters | undefined {
  const given = all.filter(params => params !== undefined)
  return given.length < 2 ? given[0] : given.reduce<URLSearchParams>(setParameters, new URLSearchParams())
}
