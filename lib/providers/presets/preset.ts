import { InvalidOptionsError, type OAuthError } from '../../errors.ts'
import type { TokenMembers } from '../../oauth/token-response.ts'
import { parseScope } from '../../oauth/token-set.ts'
import { type RequestParameters, setParameters } from '../../oauth/urls.ts'
import { shown } from '../../util/shown.ts'
import type { ClientAssertionOptions, ProviderOptions } from '../options.ts'

/** Options that each preset takes: those of a provider, which replace or add to what the preset sets. */
export type PresetOptions = Partial<Omit<ProviderOptions, 'clientId'>> & Pick<ProviderOptions, 'clientId'>

/**
 * Merges a preset's options and the app's. The app's win; parameters and hooks are added to the preset's, and an
 * option that is `undefined` (a variable that is not set) replaces nothing. Without a secret the app is a public
 * client; a `clientId`, or what authenticates the client, that is `undefined` stays so, and the check of the options
 * reports it.
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function preset (facts: Omit<ProviderOptions, 'clientId'>, options: PresetOptions): ProviderOptions {
  const written = Object.entries(optionsOf(facts.title, options)).filter(([, value]) => value !== undefined)
  const given = Object.fromEntries(written) as unknown as PresetOptions
  const merged: ProviderOptions = { ...facts, ...given }
  for (const name of ['authorizationParams', 'tokenParams', 'refreshParams'] as const) {
    if (facts[name] !== undefined && given[name] !== undefined) merged[name] = merge(facts[name], given[name])
  }
  if (facts.hooks !== undefined && given.hooks !== undefined) merged.hooks = { ...facts.hooks, ...given.hooks }
  const { clientAssertion } = given
  if (facts.clientAssertion !== undefined && clientAssertion !== undefined) {
    merged.clientAssertion = mergeAssertions(facts.clientAssertion, clientAssertion)
  }
  if ('clientId' in options && options.clientId === undefined) Object.assign(merged, { clientId: undefined })
  if ('clientSecret' in options && options.clientSecret === undefined) {
    Object.assign(merged, { clientSecret: undefined })
  } else if (
    given.clientSecret === undefined &&
    given.clientAuthentication === undefined &&
    typeof facts.clientAuthentication === 'string'
  ) {
    const isPublic = given.clientKeys === undefined && given.clientCertificate === undefined
    if (isPublic) merged.clientAuthentication = 'none'
    else delete merged.clientAuthentication
  }
  for (const name of ['clientKeys', 'clientCertificate'] as const) {
    if (!(name in options) || options[name] !== undefined) continue
    Object.assign(merged, { [name]: undefined })
    if (given.clientSecret === undefined && given.clientAuthentication === undefined) delete merged.clientAuthentication
  }
  return merged
}

/**
 * The options that a preset was called with.
 * @throws FST_OAUTH_INVALID_OPTIONS if there are none
 */
export function optionsOf<T> (title: string | undefined, options: T): T {
  if (typeof options === 'object' && options !== null) return options
  const message = `the preset of ${title} needs options; write { clientId, clientSecret }`
  throw new InvalidOptionsError(message, { reason: 'configuration' })
}

// Objects stay objects: there `null` takes away what the preset says.
function merge (facts: RequestParameters, given: RequestParameters): RequestParameters {
  if (facts instanceof URLSearchParams || given instanceof URLSearchParams) {
    return setParameters(setParameters(new URLSearchParams(), facts), given)
  }
  return { ...facts, ...given }
}

type Assertion = NonNullable<ProviderOptions['clientAssertion']>

// Audience and header, and each member of the header, one by one.
function mergeAssertions (facts: Assertion, given: Assertion): Assertion {
  if (typeof given !== 'function' && (typeof given !== 'object' || given === null)) return given
  const merge = (before: ClientAssertionOptions, after: ClientAssertionOptions) =>
    ({ ...before, ...after, header: { ...before.header, ...after.header } })
  if (typeof facts !== 'function' && typeof given !== 'function') return merge(facts, given)
  return async (context) => {
    const [before, after] = await Promise.all([facts, given].map(one => typeof one === 'function' ? one(context) : one))
    return typeof before === 'object' && typeof after === 'object' ? merge(before, after) : after!
  }
}

/**
 * A field that a preset cannot do without.
 * @throws FST_OAUTH_INVALID_OPTIONS if it is missing, often because an environment variable is not set
 */
export function required (presetName: string, field: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new InvalidOptionsError(
    `${presetName}() needs \`${field}\`, and it is ` +
      `${value === '' ? 'empty' : 'missing (it is undefined: an environment variable that is not set?)'}`,
    { reason: 'configuration' }
  )
}

/**
 * A field of a preset's own that may be left out.
 * @throws FST_OAUTH_INVALID_OPTIONS if it is something else than a preset can use
 */
export function optional<T> (presetName: string, field: string, value: T, kind: 'text' | 'boolean' | 'scope'): T {
  const isValid = {
    text: () => text(value) !== undefined,
    boolean: () => typeof value === 'boolean',
    scope: () => parseScope(value) !== undefined
  }
  if (value === undefined || isValid[kind]()) return value
  const wanted = {
    text: 'a string that is not empty',
    boolean: 'true or false',
    scope: 'a list of strings or one string with spaces'
  }
  throw new InvalidOptionsError(
    `${presetName}() takes ${wanted[kind]} as \`${field}\`, and it is ${shown(value)}`,
    { reason: 'configuration' }
  )
}

/** A server's URL without a slash at its end, from a URL or a bare host name. */
export function serverUrl (server: string): string {
  return (/^https?:\/\//.test(server) ? server : `https://${server}`).replace(/\/+$/, '')
}

/** A string that is not empty. */
export function text (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The members of an object; none if it is something else. */
export function members (value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
}

/** Whether a call for a profile failed since its scope was not granted, or the app's own resourceServers exclude it. */
export function isWithheld (error: unknown): boolean {
  const { responseStatus, code } = Object(error) as OAuthError
  return responseStatus === 403 || responseStatus === 404 || code === 'FST_OAUTH_ORIGIN_NOT_ALLOWED'
}

/** A response with its scope separated by spaces. A comma may be part of a scope, so only a preset can know. */
export function commaScope (answer: TokenMembers): TokenMembers {
  return typeof answer.scope === 'string' ? { ...answer, scope: answer.scope.replaceAll(',', ' ') } : answer
}

/** A response that means a refused refresh token in the provider's own words gets `invalid_grant` (RFC 6749, 5.2). */
export function endedGrant (answer: TokenMembers, ended: (answer: TokenMembers) => boolean): TokenMembers {
  return ended(answer) ? { ...answer, error: 'invalid_grant' } : answer
}
