import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { type OAuthError, StepUpForbiddenError, StepUpRequiredError } from '../errors.ts'
import { type Lack, lackOf, type StepUp } from '../login/step-up.ts'
import { identifierText } from '../oauth/json.ts'
import { mergeParameters, type RequestParameters, setParameters } from '../oauth/urls.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { shortHash } from '../util/random.ts'
import { loginPath } from './paths.ts'

// What a guard asks for beyond a login: more scope, and an authentication that is recent or strong enough.

/** Names a step-up in a URL: the same in each process, and none that no guard has asked for. */
function keyOf ({ scope, maxAge, acrValues }: StepUp): string {
  return shortHash(JSON.stringify([[...scope].sort(), maxAge ?? null, acrValues]))
}

/** Lets `GET /login/:provider` start a step-up. */
export function registerStepUp ({ stepUps }: PluginContext, stepUp: StepUp): void {
  stepUps.set(keyOf(stepUp), stepUp)
}

/**
 * The step-up that a URL of `GET /login/:provider` names.
 * @returns `again`: the provider is to ask the user, whatever it knows
 */
export function namedStepUp (
  { stepUps }: PluginContext, { query }: FastifyRequest
): { stepUp?: StepUp, again?: boolean } {
  const { stepUp: key, again } = query as { stepUp?: unknown, again?: unknown }
  const stepUp = typeof key === 'string' ? stepUps.get(key) : undefined
  return stepUp === undefined ? {} : { stepUp, again: again === '1' }
}

/** Path that starts a login with a step-up. @param again has the provider ask the user, whatever it knows */
export function stepUpPath (
  context: PluginContext, provider: string, stepUp: StepUp, { returnTo, again = false }: {
    returnTo?: string | undefined
    again?: boolean
  } = {}
): string {
  const query = new URLSearchParams({ stepUp: keyOf(stepUp), ...(again && { again: '1' }) })
  if (returnTo !== undefined) query.set('returnTo', returnTo)
  return `${loginPath(context, provider)}?${query}`
}

/** What a login has, or had, that is asked for more. */
interface Had {
  scope: readonly string[]
  claims: Record<string, unknown>
}

/**
 * The scope and the parameters of an authorization request that asks for more (RFC 9470, section 4). A provider need
 * not look at `acr_values` if it has a session (OpenID Connect Core, section 3.1.2.1): `prompt` has it ask the user.
 * @param had undefined if no user is logged in
 * @param options.again has it ask the user in any case
 * @param options.params those of the login itself
 */
export function stepUpRequest (
  provider: ProviderClient, had: Had | undefined, stepUp: StepUp,
  { again = false, params }: { again?: boolean | undefined, params?: RequestParameters | undefined } = {}
): { scope: string[], params: RequestParameters } {
  const { config } = provider
  const { maxAge, acrValues } = stepUp
  const scope = scopeWith(provider, had?.scope ?? [], stepUp)
  const isOfAuthentication = maxAge !== undefined || acrValues.length > 0
  const own = setParameters(setParameters(new URLSearchParams(), config.authorizationParams), params)
  const prompt = new Set((own.get('prompt') ?? '').split(' ').filter(word => word !== '' && word !== 'none'))
  const isWeak = acrValues.length > 0 && !acrValues.includes(identifierText(had?.claims.acr) ?? '')
  if (isWeak || (again && isOfAuthentication)) prompt.add('login')
  // OpenID Connect Core, section 11.
  const isOffline = stepUp.scope.includes('offline_access') && had?.scope.includes('offline_access') !== true
  if (isOffline || (again && !isOfAuthentication)) prompt.add('consent')
  const more = {
    ...(maxAge !== undefined && { max_age: maxAge }),
    ...(acrValues.length > 0 && { acr_values: acrValues.join(' ') }),
    ...(prompt.size > 0 && { prompt: [...prompt].join(' ') })
  }
  return { scope, params: mergeParameters(params, more)! }
}

const scopeWith = ({ config }: ProviderClient, granted: readonly string[], { scope }: StepUp) =>
  [...new Set([...config.scope, ...granted, ...scope])]

/** Whether a provider can give what is asked for: only ID tokens say how and when a user authenticated. */
export function canGive (provider: ProviderClient, granted: readonly string[], stepUp: StepUp): boolean {
  const isOfAuthentication = stepUp.maxAge !== undefined || stepUp.acrValues.length > 0
  return !isOfAuthentication || provider.expectsIdToken(scopeWith(provider, granted, stepUp))
}

/** What a login lacks of a step-up. */
export function lackOfLogin (provider: ProviderClient, stepUp: StepUp, login: Had): Lack | undefined {
  return lackOf(stepUp, { ...login, now: provider.clock.now(), clockTolerance: provider.config.clockTolerance })
}

/**
 * Answers a request that is no page load: 401 if the user has to authenticate (RFC 9470, section 3), 403 if scope
 * is missing (RFC 6750, section 3.1), and JSON with the URL at which a browser gets more.
 */
export function sendChallenge (
  context: PluginContext, reply: FastifyReply, { name }: ProviderClient, stepUp: StepUp, lack: Lack
): FastifyReply {
  const error = stepUpError(name, stepUp, lack)
  const { code, statusCode, message, provider } = error
  const loginUrl = context.config.routes === false
    ? undefined
    : new URL(stepUpPath(context, name, stepUp), context.config.baseUrl()).href
  return reply
    .code(statusCode)
    .header('www-authenticate', challengeOf(stepUp, lack))
    .send({ statusCode, code, error: lack.authentication ? 'Unauthorized' : 'Forbidden', message, provider, loginUrl })
}

function challengeOf ({ scope, maxAge, acrValues }: StepUp, lack: Lack): string {
  const values: Record<string, string> = lack.authentication
    ? {
        error: 'insufficient_user_authentication',
        error_description: 'A more recent or stronger authentication is required',
        ...(acrValues.length > 0 && { acr_values: acrValues.join(' ') }),
        ...(maxAge !== undefined && { max_age: String(maxAge) })
      }
    : { error: 'insufficient_scope', error_description: 'More scope is required' }
  if (lack.scope.length > 0) values.scope = scope.join(' ')
  return `Bearer ${Object.entries(values).map(([name, value]) => `${name}="${value}"`).join(', ')}`
}

/** The error of a login that lacks something. */
function stepUpError (provider: string, stepUp: StepUp, lack: Lack): OAuthError {
  if (!lack.authentication) {
    const message = `the login at provider "${provider}" lacks the scope ${lack.scope.join(' ')}`
    return new StepUpForbiddenError(message, { provider, reason: 'insufficient_scope' })
  }
  return new StepUpRequiredError(
    `the login at provider "${provider}" needs a more recent or stronger authentication: ${wantedBy(stepUp)}`,
    { provider, reason: 'insufficient_user_authentication' })
}

const wantedBy = ({ maxAge, acrValues }: StepUp) => [
  ...(maxAge === undefined ? [] : [`at most ${maxAge} seconds ago`]),
  ...(acrValues.length === 0 ? [] : [`acr ${acrValues.join(' or ')}`])
].join(', ')

/** The error if the provider has not given, or cannot give, what was asked for. */
export function notGiven (provider: string, stepUp: StepUp, lack: Lack): OAuthError {
  const { message, reason } = stepUpError(provider, stepUp, lack)
  return new StepUpForbiddenError(`${message}; the provider did not give it`, { provider, reason })
}
