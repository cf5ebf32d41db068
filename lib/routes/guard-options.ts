import type { FastifyRequest } from 'fastify'
import { InvalidOptionsError } from '../errors.ts'
import type { StepUp } from '../login/step-up.ts'
import { parseScope } from '../oauth/token-set.ts'
import type { ProviderName } from '../providers/presets/names.ts'
import { unknownOption } from '../providers/presets/unknown-option.ts'
import { isObject } from '../util/is-object.ts'
import { shown } from '../util/shown.ts'

/** Options of `app.oauth.requireLogin`. */
export interface RequireLoginOptions {
  /** Name of the provider that the user must have logged in with. Default any. */
  provider?: ProviderName
  /** Scope that must be granted: a list, or a string with spaces. */
  scope?: string | readonly string[]
  /** Seconds since the user last authenticated at the provider, at most; by `auth_time` of the ID token. */
  maxAge?: number
  /** Authentication context classes of which the login must have one; by `acr` of the ID token. */
  acrValues?: string | readonly string[]
  /**
   * Whether the other options apply to this user and this request; any value but false means yes. May be async; if it
   * throws, so does the guard. Without other options it asks for an authentication at this moment, as `maxAge: 0` does.
   */
  when?: (claims: Record<string, unknown>, request: FastifyRequest) => boolean | Promise<boolean>
}

const OPTIONS = ['provider', 'scope', 'maxAge', 'acrValues', 'when']

/**
 * Refuses options that the guard does not have: one without effect would let users pass who are not meant to.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkGuardOptions (options: RequireLoginOptions): void {
  refuseRequest('requireLogin', options)
  const takes = `requireLogin takes { ${OPTIONS.join(', ')} }`
  if (!isObject(options)) throw new InvalidOptionsError(`${takes}, not ${shown(options)}`)
  const unknown = Object.keys(options).filter(name => !OPTIONS.includes(name))
  if (unknown.length === 0) return
  const problems = unknown.map(name => `${name} ${unknownOption(name, OPTIONS)}`)
  throw new InvalidOptionsError(`${takes}; ${problems.join('; ')}`)
}

/**
 * Refuses a request in place of options: `requireLogin` was passed as the hook, in place of `requireLogin()`.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function refuseRequest (name: string, options: unknown): void {
  if (!isObject(options) || !('raw' in options) || !('headers' in options)) return
  throw new InvalidOptionsError(`${name} makes the hook, and is none itself: write \`${name}()\`, with parentheses`)
}

// RFC 6749, section 3.3; a value of `acr_values` has no space in it either, and goes between quotes.
const TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/**
 * Reads what a guard asks for beyond a login.
 * @returns undefined if it asks for a login alone
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function readStepUp (options: RequireLoginOptions): StepUp | undefined {
  const { scope, maxAge, acrValues, when } = options
  if (when !== undefined && typeof when !== 'function') {
    throw new InvalidOptionsError('requireLogin: `when` must be a function of claims and request')
  }
  if (maxAge !== undefined && !(Number.isSafeInteger(maxAge) && maxAge >= 0)) {
    throw new InvalidOptionsError(`requireLogin: \`maxAge\` must be a whole number of seconds, not ${shown(maxAge)}`)
  }
  const asked = { scope: readTokens('scope', scope), acrValues: readTokens('acrValues', acrValues) }
  const isAlone = asked.scope.length === 0 && asked.acrValues.length === 0 && maxAge === undefined
  if (isAlone && when === undefined) return undefined
  const age = isAlone ? 0 : maxAge
  return { ...asked, ...(age !== undefined && { maxAge: age }) }
}

function readTokens (name: string, value: unknown): string[] {
  if (value === undefined) return []
  const tokens = parseScope(value) ?? []
  const isList = !Array.isArray(value) || value.length === tokens.length
  if (tokens.length > 0 && isList && tokens.every(token => TOKEN.test(token))) return [...new Set(tokens)]
  throw new InvalidOptionsError(
    `requireLogin: \`${name}\` must be a list of words, or one string with spaces between them, and not empty`)
}
