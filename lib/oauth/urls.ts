import { InsecureTransportError, InvalidOptionsError } from '../errors.ts'

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** Whether a host is this machine, where plain http reveals nothing. */
export function isLoopback (hostname: string): boolean {
  return LOOPBACK.test(hostname)
}

/** Whether a URL may carry secrets: https, or http that does not leave the machine. */
export function isSecureUrl (url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

/**
 * Parses an endpoint's URL and refuses plain http (RFC 6749, section 3.1: TLS is required).
 * @param what the endpoint's name in the provider's metadata, for the error
 * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
 */
export function secureEndpoint (value: string, what: string, provider: string, allowInsecure: boolean): URL {
  let url: URL
  try {
    url = new URL(value)
  } catch {
    throw new InvalidOptionsError(
      `${what} of provider "${provider}" is no URL; check what its metadata says, or write the endpoint into its ` +
        'options',
      { provider, reason: 'invalid_metadata' }
    )
  }
  if (!isSecureUrl(url) && !(allowInsecure && url.protocol === 'http:')) {
    throw new InsecureTransportError(
      `${what} of provider "${provider}" is not https; set allowInsecureRequests only for a provider inside your ` +
        'own network',
      { provider })
  }
  return url
}

/** Adds parameters to a URL's query, which stays as it is byte for byte. */
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
 * Sets parameters in an endpoint's query; the rest of it stays byte for byte. A request must not have a parameter twice
 * (RFC 6749, section 3.1).
 */
export function setQuery (endpoint: string, params: URLSearchParams): string {
  const [, base = '', query, fragment = ''] = /^([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(endpoint)!
  if (query === undefined) return appendQuery(endpoint, params)
  const isKept = (pair: string) => ![...new URLSearchParams(pair).keys()].some(name => params.has(name))
  return appendQuery(`${base}?${query.split('&').filter(isKept).join('&')}${fragment}`, params)
}

type ParameterValue = string | number | boolean | readonly (string | number | boolean)[] | null | undefined
/** Parameters of a request. A list is repeated (RFC 8707, section 2); null and undefined are left out. */
export type RequestParameters = Record<string, ParameterValue> | URLSearchParams

/** Sets parameters in a form or query, in place of those of the same name. */
export function setParameters (target: URLSearchParams, params: RequestParameters | null | undefined): URLSearchParams {
  if (params === undefined || params === null) return target
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

/** Merges parameters, later ones over earlier ones; undefined if there are none. */
export function mergeParameters (...all: (RequestParameters | undefined)[]): RequestParameters | undefined {
  const given = all.filter(params => params !== undefined)
  return given.length < 2 ? given[0] : given.reduce<URLSearchParams>(setParameters, new URLSearchParams())
}

/** The issuer that an address of metadata is made from (OpenID Connect Discovery, section 4; RFC 8414, section 3.1). */
export function withoutWellKnown (url: string): string {
  return url.replace(/\/\.well-known\/(?:openid-configuration|oauth-authorization-server)(?=\/|$)/, '')
}
