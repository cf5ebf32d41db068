import { parseClientCertificate } from '../http/client-certificate.ts'
import { type AuthorizationDetail, problemOfDetails } from '../oauth/authorization-details.ts'
import { isTlsMethod } from '../oauth/client-authentication.ts'
import { parseClientKeys, signingKeyOf } from '../oauth/client-keys.ts'
import { isPostedMode, isSecuredMode, RESPONSE_MODES, type ResponseMode } from '../oauth/response-mode.ts'
import { parseScope } from '../oauth/token-set.ts'
import { type RequestParameters, setParameters, withoutWellKnown } from '../oauth/urls.ts'
import { isObject } from '../util/is-object.ts'
import { shown } from '../util/shown.ts'
import { MAX_TIMER_MS } from '../util/timeout.ts'
import { isUnset, type OptionChecker } from './option-checker.ts'
import type { ClientAssertionOptions, ProviderOptions, ResourceServer } from './options.ts'

/**
 * Checks the value of one option of a provider; what is wrong goes to `check`.
 * @param path the option's place in the options, for the message
 * @param options all of the provider's, for a check that depends on another one
 */
export interface OptionCheck<Value> {
  (check: OptionChecker, path: string, value: any, options: ProviderOptions): void
  /** Never there: it ties a check to the type of the option that it fits. */
  accepts?: (value: Value) => Value
}

export const text: OptionCheck<string> = (check, path, value) => check.type(path, value, 'string')

export const boolean: OptionCheck<boolean> = (check, path, value) => check.type(path, value, 'boolean')

export const func: OptionCheck<any> = (check, path, value) => check.type(path, value, 'function')

export const list: OptionCheck<readonly string[]> = (check, path, value) => { check.strings(path, value) }

/** What a token request sets itself, or takes from the options. */
const OF_TOKEN_REQUESTS = [
  'grant_type', 'code', 'redirect_uri', 'code_verifier', 'refresh_token', 'client_id', 'client_secret',
  'client_assertion', 'client_assertion_type', 'scope', 'resource'
]

export const callbackParams: OptionCheck<readonly string[]> = (check, path, value) => {
  check.strings(path, value)
  const [own] = Array.isArray(value) ? OF_TOKEN_REQUESTS.filter(name => value.includes(name)) : []
  if (own !== undefined) check.add(path, `has "${own}", which token requests set themselves; take it out`)
}

export const number = (min: number, max?: number): OptionCheck<number> =>
  (check, path, value) => check.number(path, value, min, max)

export const timerMs = number(1, MAX_TIMER_MS)

export const oneOf = <Value extends string> (...values: Value[]): OptionCheck<Value> =>
  (check, path, value) => check.oneOf(path, value, values)

/** One of these, or a function. */
export const oneOfOrFunction = <Value extends string> (...values: Value[]): OptionCheck<any> =>
  (check, path, value) => { if (typeof value !== 'function') check.oneOf(path, value, values) }

/** A URL of the provider. */
export const providerUrl: OptionCheck<string> = (check, path, value, { allowInsecureRequests }) => {
  check.url(path, value, allowInsecureRequests === true)
}

/** The issuer, and not the address of its metadata, which the consoles of many providers show. */
export const issuer: OptionCheck<string> = (check, path, value, options) => {
  providerUrl(check, path, value, options)
  if (typeof value !== 'string' || withoutWellKnown(value) === value) return
  check.add(path, 'is the address of the metadata; write the `issuer` in it, often what comes before /.well-known')
}

/** A URL of the app, which may be plain http behind a proxy. */
export const appUrl: OptionCheck<string> = (check, path, value) => { check.url(path, value, true) }

/** A URL of the app; or the name that eBay has registered for one. */
export const redirectUri: OptionCheck<string> = (check, path, value, options) => {
  if (typeof value !== 'string' || !/^[\w-]+$/.test(value)) appUrl(check, path, value, options)
}

export const clientId: OptionCheck<string> = (check, path, value, options) => {
  if (typeof value !== 'string' || value === '') {
    check.missing(path, options, 'write the id that the provider gave the app')
  }
}

export const clientSecret: OptionCheck<string> = (check, path, value, options) => {
  check.type(path, value, 'string')
  const { clientAuthentication: method } = options
  if (typeof method === 'string' && method.startsWith('client_secret_') && !value) {
    const remedy = `write the secret, or 'none' for a public client: clientAuthentication is '${method}'`
    check.missing(path, options, remedy)
  } else if (method === undefined && isUnset(options, 'clientSecret')) {
    check.missing(path, options, 'write the secret, or leave the option out for a public client')
  }
  if (value === '') check.add(path, 'is empty; write the secret, or leave it out for a public client')
}

export const clientKeys: OptionCheck<any> = (check, path, value, options) => {
  const keys = parseClientKeys(value, (index, problem) => {
    check.add(index === undefined ? path : `${path}[${index}]`, problem)
  })
  const { clientAuthentication: method, clientAssertion } = options
  if (method === undefined && isUnset(options, 'clientKeys')) {
    check.missing(path, options, 'write the private key, or leave the option out')
  }
  if (method !== 'private_key_jwt' || typeof clientAssertion === 'function') return
  if (value === undefined) {
    const remedy = "write the private key as PEM, JWK or KeyObject: clientAuthentication is 'private_key_jwt'"
    check.missing(path, options, remedy)
  } else if (keys.length > 0 && signingKeyOf(keys) === undefined) {
    check.add(path, "has no key to sign with, and clientAuthentication is 'private_key_jwt'; add one with use 'sig'")
  }
}

export const encryptedIdToken: OptionCheck<boolean> = (check, path, value, options) => {
  boolean(check, path, value, options)
  if (value !== true || parseClientKeys(options.clientKeys).some(({ use }) => use === 'enc')) return
  check.add(path, "needs a key to decrypt with; add one to clientKeys, with use 'enc'")
}

export const clientCertificate: OptionCheck<any> = (check, path, value, options) => {
  const { clientAuthentication: method, tlsClientCertificateBoundAccessTokens: bound } = options
  if (value === undefined) {
    if (check.hasDispatcher && !isUnset(options, 'clientCertificate')) return
    const reason = isTlsMethod(method)
      ? `clientAuthentication is '${method}'`
      : bound === true ? 'tlsClientCertificateBoundAccessTokens is true' : undefined
    if (reason === undefined && !isUnset(options, 'clientCertificate')) return
    const because = reason === undefined ? '' : `: ${reason}`
    const remedy = `write { cert, key } in PEM, or a \`dispatcher\` with the certificate${because}`
    check.missing(path, options, remedy)
  } else if (check.object(path, value) !== undefined) {
    check.known(path, value, ['cert', 'key', 'passphrase', 'ca'])
    parseClientCertificate(value, (member, problem) => check.add(`${path}.${member}`, problem))
    if (check.hasDispatcher) {
      check.add(path, 'cannot be put into the `dispatcher` that is given; write it there, as an Agent\'s ' +
        '`connect: { cert, key }`, and take it out here')
    }
  }
}

export const clientAssertion: OptionCheck<any> = (check, path, value: ClientAssertionOptions | undefined, options) => {
  if (value === undefined || typeof value === 'function' || check.object(path, value) === undefined) return
  check.known(path, value, ['audience', 'header'])
  const { audience, header } = value
  if (Array.isArray(audience)) check.strings(`${path}.audience`, audience)
  else check.type(`${path}.audience`, audience, 'string')
  if (header === undefined || check.object(`${path}.header`, header) === undefined || header.alg === undefined) return
  const { algorithms } = signingKeyOf(parseClientKeys(options.clientKeys)) ?? {}
  if (algorithms !== undefined && !algorithms.includes(header.alg as string)) {
    check.oneOf(`${path}.header.alg`, header.alg, algorithms)
  }
}

export const idTokenIssuer: OptionCheck<any> = (check, path, value) => {
  if (!Array.isArray(value)) {
    if (typeof value !== 'string') check.type(path, value, 'function')
  } else if (value.length === 0 || !value.every(item => typeof item === 'string' && item !== '')) {
    check.add(path, 'must be a string, a list of strings, or a function')
  }
}

export const scope: OptionCheck<string | readonly string[]> = (check, path, value) => {
  if (Array.isArray(value) && value.includes(undefined)) check.unset(path, value)
  else if (parseScope(value ?? []) === undefined) {
    check.add(path, 'must be a list of strings or one string with spaces')
  } else if (parseScope(value ?? [])!.some(item => item.includes(',') && item.split(',').includes('openid'))) {
    // A comma may be part of a scope (RFC 6749, section 3.3), but not beside this one.
    check.add(path, "separates scopes by commas; write a list, such as ['openid', 'profile']")
  }
}

export const pkce: OptionCheck<'S256' | 'plain' | false> = (check, path, value) => {
  if (![undefined, false, 'S256', 'plain'].includes(value)) {
    check.add(path, `is ${shown(value)}; write 'S256', 'plain' or false`)
  }
}

export const pushedAuthorizationRequests: OptionCheck<boolean> = (check, path, value, options) => {
  boolean(check, path, value, options)
  const { issuer, pushedAuthorizationRequestEndpoint: endpoint } = options
  if (value !== true || issuer !== undefined || endpoint !== undefined) return
  check.add(path, 'needs `pushedAuthorizationRequestEndpoint`, or `issuer` to have it discovered')
}

export const responseMode: OptionCheck<ResponseMode> = (check, path, value, options) => {
  check.oneOf(path, value, RESPONSE_MODES)
  const { grantType, issuer, idTokenIssuer, responseType } = options
  if (value !== undefined && responseType === 'code id_token' && !isPostedMode(value)) {
    const why = "an ID token from the browser would be in the URL's fragment, which no server sees"
    check.add(path, `must be 'form_post' or 'form_post.jwt' with responseType 'code id_token': ${why}`)
  }
  if (!isSecuredMode(value)) return
  if (grantType === 'implicit') {
    check.add(path, "has no JWT with grantType 'implicit'; write 'form_post' or leave it out")
  }
  if (issuer === undefined && (idTokenIssuer === undefined || typeof idTokenIssuer === 'function')) {
    check.add(path, `is '${value}', and it is not known who signs the responses; write \`issuer\``)
  }
}

export const responseType: OptionCheck<'code' | 'code id_token'> = (check, path, value, options) => {
  check.oneOf(path, value, ['code', 'code id_token'])
  if (value !== 'code id_token') return
  const { grantType = 'authorization_code', issuer, idTokenIssuer } = options
  if (grantType !== 'authorization_code') check.add(path, `does not go with grantType '${grantType}'; leave it out`)
  else if (parseScope(options.scope)?.includes('openid') !== true || (issuer ?? idTokenIssuer) === undefined) {
    check.add(path, 'asks for an ID token, which needs "openid" in scope, and `issuer`')
  }
}

export const authorizationDetails: OptionCheck<readonly AuthorizationDetail[]> = (check, path, value) => {
  const problem = value === undefined ? undefined : problemOfDetails(value)
  if (problem !== undefined) check.add(path, problem)
}

export const requestObjects: OptionCheck<boolean> = (check, path, value, options) => {
  boolean(check, path, value, options)
  if (value !== true) return
  const { clientKeys, issuer } = options
  const keys = parseClientKeys(clientKeys)
  // What is wrong with a key that cannot be read is reported for that one.
  const isUnread = clientKeys !== undefined && keys.length === 0
  if (!isUnread && signingKeyOf(keys) === undefined) check.add(path, 'needs a key to sign with; write `clientKeys`')
  if (issuer === undefined) check.add(path, 'needs `issuer`: each request object names it as its audience')
}

// A bound token is in the Authorization header (RFC 9449, section 7.1), and only a token request binds one.
export const dpop: OptionCheck<boolean> = (check, path, value, options) => {
  boolean(check, path, value, options)
  const { tokenPlacement = 'header', grantType } = options
  if (value !== true) return
  if (tokenPlacement !== 'header') {
    check.add(path, `needs the token in the header, and tokenPlacement is ${shown(tokenPlacement)}`)
  }
  if (grantType === 'implicit') check.add(path, "does not go with grantType 'implicit', which has no token request")
}

// A request has one client authentication (RFC 6749, section 2.3).
export const tokenParams: OptionCheck<RequestParameters> = (check, path, value, options) => {
  const { clientAuthentication: method, clientSecret, clientKeys } = options
  const authenticated = method === undefined
    ? clientSecret !== undefined || clientKeys !== undefined
    : method !== 'none' && typeof method !== 'function'
  checkParams(check, path, value, authenticated)
}

// The browser sees this request, so a secret has no place in it.
export const authorizationParams: OptionCheck<RequestParameters> = (check, path, value) => {
  checkParams(check, path, value, true)
}

function checkParams (check: OptionChecker, path: string, value: any, withoutSecret: boolean): void {
  if (value === undefined || check.object(path, value) === undefined || !withoutSecret) return
  if (!setParameters(new URLSearchParams(), value).has('client_secret')) return
  check.add(
    `${path}.client_secret`,
    'must not be there: the client is authenticated by clientSecret and clientAuthentication; for the form, write ' +
      "clientAuthentication: 'client_secret_post'"
  )
}

/** An object with all of these methods. */
export const methods = <Name extends string> (...names: Name[]): OptionCheck<any> => (check, path, value) => {
  if (value === undefined || check.object(path, value) === undefined) return
  for (const name of names) check.type(`${path}.${name}`, value[name], 'function', true)
}

/** An object with some of these functions. */
export const functions = <Name extends string> (...names: Name[]): OptionCheck<any> => (check, path, value) => {
  if (value === undefined || check.object(path, value) === undefined) return
  check.known(path, value, names)
  for (const name of names) check.type(`${path}.${name}`, value[name], 'function')
}

export const resourceServers: OptionCheck<any> = (check, path, value, { allowInsecureRequests }) => {
  if (value === undefined) return
  if (!Array.isArray(value)) return check.add(path, 'must be a list')
  // `entries` and not `forEach`: it sees holes too.
  for (const [index, entry] of value.entries()) {
    const at = `${path}[${index}]`
    const url = resourceServerUrl(check, at, entry)
    const resource = check.url(typeof entry === 'object' ? `${at}.url` : at, url, allowInsecureRequests === true)
    if (resource !== undefined && (resource.search !== '' || resource.hash !== '')) {
      check.add(at, 'must be origin and path alone')
    }
  }
}

function resourceServerUrl (check: OptionChecker, path: string, entry: ResourceServer | string): string | undefined {
  if (typeof entry === 'string') return entry
  if (entry === undefined) {
    check.add(path, 'is undefined: an environment variable that is not set? Write the URL of an API')
  } else if (!isObject(entry) || entry instanceof URL) {
    check.add(path, 'must be a URL as a string, or { url, encodedSlashes }')
  } else {
    check.known(path, entry, ['url', 'encodedSlashes'])
    check.type(`${path}.url`, entry.url, 'string', true)
    check.type(`${path}.encodedSlashes`, entry.encodedSlashes, 'boolean')
    return typeof entry.url === 'string' ? entry.url : undefined
  }
}
