import type { OAuthSessionInit } from '../../lib/standalone/session.ts'
import type { ProviderOptions } from '../../lib/index.ts'
import * as presets from '../../lib/providers.ts'
import { NotUnderstood, type Members } from './case.ts'
import { CLIENT_KEYS, clientAuthentication } from './client-authentication.ts'

const AUTHORIZATION_ENDPOINT = 'https://as.b/authorize'
const TOKEN_ENDPOINT = 'https://as.b/token'
export const DEVICE_ENDPOINT = 'https://as.b/device_authorization'

/** `given` → an option of the provider. */
const OPTIONS: Record<string, (value: any) => Partial<ProviderOptions>> = {
  client_id: clientId => ({ clientId }),
  endpoint: authorizationEndpoint => ({ authorizationEndpoint }),
  token_url: tokenEndpoint => ({ tokenEndpoint }),
  discovery_url: (url: string) => ({ issuer: url.replace(/\/?\.well-known\/.*$/, '') }),
  redirect_uri: redirectUri => ({ redirectUri }),
  scope: scope => ({ scope }),
  token_params: tokenParams => ({ tokenParams }),
  auto_refresh_params: refreshParams => ({ refreshParams }),
  method: tokenEndpointMethod => ({ tokenEndpointMethod }),
  force_querystring: (query: boolean) => ({ tokenRequestPlacement: query ? 'query' : 'body' }),
  strict_token_type: requireTokenType => ({ requireTokenType }),
  placement: placement => ({ tokenPlacement: PLACEMENTS[placement] ?? placement }),
  leeway: expiryLeeway => ({ expiryLeeway }),
  default_expires_in: defaultExpiresIn => ({ defaultExpiresIn }),
  scope_separator: scopeSeparator => ({ scopeSeparator }),
  allow_insecure: allowInsecureRequests => ({ allowInsecureRequests })
}

/** What oauthlib and Authlib call the places of a token. */
const PLACEMENTS: Record<string, ProviderOptions['tokenPlacement']> = { auth_header: 'header', uri: 'query' }

/** `given.flow` → how tokens are obtained. */
const GRANT_TYPES: Record<string, ProviderOptions['grantType']> = {
  authorization_code: 'authorization_code',
  password: 'password',
  client_credentials: 'client_credentials',
  implicit: 'implicit',
  device: 'device_code',
  // An assertion, or another token, takes the place of a code (RFC 7523, RFC 8693): nothing about the provider is
  // different.
  jwt_bearer: 'authorization_code',
  token_exchange: 'authorization_code'
}

/** `given` → what a session is made with. */
const SESSION: Record<string, (value: any) => OAuthSessionInit> = {
  token: tokens => ({ tokens }),
  requested_scope: scope => ({ scope }),
  session_state: state => ({ state }),
  expected_state: state => state === null ? {} : { state }
}

/** The members of `given` that this translation knows, beside those that an operation reads itself. */
export const SETTINGS = [
  ...Object.keys(OPTIONS), ...Object.keys(SESSION), ...CLIENT_KEYS,
  'flow', 'provider', 'auto_refresh', 'token_updater',
  // Read where clock and network are set up.
  'now', 'token_response', 'api_response', 'discovery',
  // A narrowed or widened scope is never an error here: there is nothing to relax.
  'relax_scope'
]

/** The provider's options. `more` is what an operation needs that its case leaves out. */
export function providerOptions (given: Members, more: Partial<ProviderOptions> = {}): ProviderOptions {
  const options = withoutUndefined({
    clientId: 'cid',
    ...more,
    ...translated(OPTIONS, withoutNull(given)),
    ...clientAuthentication(given)
  })
  if (given.flow !== undefined) options.grantType = grantTypeOf(given.flow)
  if (given.provider !== undefined) return presetOptions(given.provider, { clientSecret: 'sec', ...options })
  if (given.discovery_url !== undefined) return options as ProviderOptions
  return {
    authorizationEndpoint: AUTHORIZATION_ENDPOINT,
    tokenEndpoint: TOKEN_ENDPOINT,
    ...(options.grantType === 'device_code' && { deviceAuthorizationEndpoint: DEVICE_ENDPOINT }),
    // No ID token can be checked without an issuer, and discovering one would be a request that no case counts.
    ...([options.scope].flat().join(' ').split(' ').includes('openid') && { profileSource: 'userinfo' as const }),
    ...options
  } as ProviderOptions
}

// What an app writes that has none of it: Python's None stands for an option that is left out.
const withoutNull = (given: Members): Members =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null))

// An option that is written must have a value.
function withoutUndefined (options: Partial<ProviderOptions>): Partial<ProviderOptions> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** Whether `given.flow` is the name of a grant; else it is a sentence. */
export const isGrantName = (flow: unknown) => Object.hasOwn(GRANT_TYPES, String(flow))

function grantTypeOf (flow: string): ProviderOptions['grantType'] {
  if (!isGrantName(flow)) throw new NotUnderstood(`given.flow "${flow}"`)
  return GRANT_TYPES[flow]
}

/** Presets that have moved on since the reference: how an app has what it had. */
const REFERENCE = {
  // Fitbit has shut its logins down. What the reference made of its answers is what `conform` is for.
  fitbit: (options: Members) => ({
    authorizationEndpoint: AUTHORIZATION_ENDPOINT,
    tokenEndpoint: TOKEN_ENDPOINT,
    clientAuthentication: 'client_secret_basic',
    conform: conformFitbit,
    ...options
  }),
  // Tokens of Mailchimp have no end. The reference says an hour.
  mailchimp: (options: Members) => {
    const { conform, ...facts } = presets.mailchimp(options as unknown as presets.MailchimpOptions)
    const conformed: ProviderOptions['conform'] = (answer, context) => conform!(anHour(answer), context)
    return { ...facts, conform: conformed }
  }
}

const anHour = (answer: Members) => answer.expires_in === 0 ? { ...answer, expires_in: 3600 } : answer

function conformFitbit (answer: Members): Members {
  const [first] = Array.isArray(answer.errors) ? answer.errors as Members[] : []
  const { errorType, message } = first ?? {}
  return typeof errorType === 'string' ? { ...answer, error: errorType, error_description: message } : answer
}

/** A preset by its name. What it needs beside the id (the address of a shop, a tenant) is made up. */
function presetOptions (name: string, options: Members): ProviderOptions {
  type Preset = (options: Members) => ProviderOptions
  const preset = ({ ...presets, ...REFERENCE } as unknown as Record<string, Preset | undefined>)[name]
  if (preset === undefined) throw new Error(`there is no preset "${name}"`)
  try {
    return preset(options)
  } catch (error) {
    const needed = /needs `(\w+)`/.exec((error as Error).message)?.[1]
    if (needed === undefined || Object.hasOwn(options, needed)) throw error
    return presetOptions(name, { ...options, [needed]: 'https://as.b' })
  }
}

/** The state of the login whose answer is read goes by two names. */
export function withState ({ state, ...given }: Members): Members {
  return { ...(state !== undefined && { expected_state: state }), ...given }
}

/**
 * What a session is made with. The reference's three ways to refresh: by hand, by an error that carries the new set, or
 * with an updater.
 */
export function sessionInit (given: Members): OAuthSessionInit {
  const { auto_refresh: auto, token_updater: updater } = given
  const refresh = auto === false ? 'manual' : auto === true && updater === false ? 'notify' : undefined
  return { ...translated(SESSION, given), ...(refresh !== undefined && { refresh }) }
}

function translated<T> (table: Record<string, (value: any) => T>, given: Members): T {
  return Object.assign(
    {},
    ...Object.entries(table).map(([key, translate]) => (given[key] === undefined ? {} : translate(given[key])))
  ) as T
}
