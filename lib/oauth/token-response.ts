import { InvalidTokenResponseError, type OAuthError, type OAuthErrorDetails } from '../errors.ts'
import { isObject } from '../util/is-object.ts'
import { isPromise } from '../util/is-promise.ts'
import { excerptOfText, redact, secretsIn } from '../util/redact.ts'
import { shown } from '../util/shown.ts'
import { parseJson } from './json.ts'
import { compareScope, inSeconds, parseScope, type ScopeChange, type TokenSet } from './token-set.ts'

/** A response as it was received. */
export interface HttpResponse {
  /** The HTTP status. */
  status: number
  /** Header fields, in lower case. */
  headers: Record<string, string | string[] | undefined>
  /** The body as text. */
  text: string
}

/** The members of a token response by their wire names (RFC 6749, section 5.1), the provider's own included. */
export type TokenMembers = Record<string, unknown>

/**
 * Normalizes the token responses of one provider to RFC 6749, section 5. Called before anything is checked.
 * @param members the members of the response; a new object, or the same one, is returned
 * @param context.status the HTTP status
 * @param context.grantType the `grant_type` of the request, such as `refresh_token`
 */
export type Conform = (members: TokenMembers, context: { status: number, grantType: string }) => TokenMembers

/** What a token response is read with. */
export interface TokenResponseContext {
  provider: string
  /** Epoch seconds. */
  now: number
  grantType: string
  /** The scope that was asked for; it is the granted one if the response names none. */
  scope: readonly string[]
  /** The provider's own scope as one text, which most responses have. */
  usualScope?: string
  /** Seconds that a token lives if the response names no lifetime. */
  defaultExpiresIn?: number | undefined
  conform?: Conform | undefined
  /** Values of the request that may come back in an error's text; asked for if there is one. */
  secrets?: () => readonly string[]
  /** Refuse a response without `token_type`, which RFC 6749, section 5.1 requires. */
  requireTokenType?: boolean
  /** The members have been stored meanwhile: `expires_at` takes precedence over `expires_in`. */
  stored?: boolean
}

/**
 * A token set, or why there is none. `refreshToken` is one that came with an error: it may be the only copy.
 */
export type TokenResponse =
  | { tokens: TokenSet, scopeChange: ScopeChange | undefined }
  | { error: OAuthError, refreshToken?: string | undefined }

// The longest lifetime that is accepted, in seconds (68 years): larger numbers mean "never" and overflow timers.
const MAX_LIFE = 2 ** 31 - 1
/** Members that a response may have: copying hundreds of thousands would block the event loop. */
const MAX_MEMBERS = 1000
/** Scopes that are kept beyond those that were asked for, and characters of one. */
const MAX_FURTHER_SCOPES = 1000
const MAX_SCOPE_LENGTH = 1000
const CLIENT_REFUSED = 'client_refused'
const TOKEN = /^[\x20-\x7e]+$/
const COMMA_LIST = /^[^\s,]+(?:\s*,\s*[^\s,]+)*$/

/** Reads a token response, of any content type (RFC 6749, sections 5.1 and 5.2). Never throws. */
export function readTokenResponse (answer: HttpResponse, context: TokenResponseContext): TokenResponse {
  const members = parseMembers(answer.text)
  if (members !== undefined) return readMembers(members, answer, context)
  const unreadable = answer.text.trim() === '' ? 'empty_response' : 'unreadable_response'
  const reason = refusesClient(answer) ? CLIENT_REFUSED : unreadable
  return failure(answer, context, `answered ${answer.status} with something that is no token response`, { reason })
}

/** Reads the parameters of an implicit login's fragment (RFC 6749, section 4.2.2). Never throws. */
export function readTokenParameters (params: URLSearchParams, context: TokenResponseContext): TokenResponse {
  const answer = { status: 200, headers: {}, text: params.toString() }
  const members = plainMembers([...params])
  if (members !== undefined) return readMembers(members, answer, context)
  return failure(answer, context, 'sent too many parameters', { reason: 'unreadable_response' })
}

type Fail = (message: string, details: OAuthErrorDetails) => { error: OAuthError }

function failure (
  { status, text }: HttpResponse, { provider, secrets }: TokenResponseContext, message: string,
  details: OAuthErrorDetails
): ReturnType<Fail> {
  return {
    error: new InvalidTokenResponseError(`the token endpoint of provider "${provider}" ${message}`, {
      provider, responseStatus: status, excerpt: excerptOf(text, secrets?.()), ...details
    })
  }
}

function readMembers (members: TokenMembers, answer: HttpResponse, context: TokenResponseContext): TokenResponse {
  const { grantType, conform } = context
  // `conform` may change the members in place.
  const received = conform === undefined ? [] : secretsIn(members)
  // A provider may repeat in an error what it was sent, or what it has just issued.
  const secrets = () => [...context.secrets?.() ?? [], ...received, ...secretsIn(members)]
  const fail: Fail = (message, details) => failure(answer, { ...context, secrets }, message, details)
  if (conform !== undefined) {
    const issued = tokenString(members.refresh_token)
    try {
      const conformed: unknown = conform(members, { status: answer.status, grantType })
      if (isPromise(conformed)) throw new TypeError('conform returned a promise; return the members at once')
      if (!isObject(conformed)) throw new TypeError(`conform returned ${shown(conformed)}; return the members`)
      members = conformed
    } catch (error) {
      const { name, code, message } = Object(error) as { name?: string, code?: string, message?: unknown }
      const cause = { name, code, message: redact(String(message ?? error), secrets()) }
      const failed = fail('sent a response that its `conform` could not read', { reason: 'conform_failed', cause })
      return { ...failed, refreshToken: issued }
    }
  }

  const refreshToken = tokenString(members.refresh_token)
  const named = errorOf(members)
  if (named !== undefined) return { ...refusal(named, secrets(), fail), refreshToken }
  if (answer.status < 200 || answer.status > 299) {
    const refused = Object.keys(members).length === 0 ? 'empty_response' : 'status'
    const reason = refusesClient(answer) ? CLIENT_REFUSED : answer.status < 400 ? 'redirect' : refused
    return { ...fail(`answered ${answer.status}`, { reason }), refreshToken }
  }
  const accessToken = tokenString(members.access_token)
  if (accessToken === undefined) {
    return { ...fail('sent no usable access token', { reason: 'missing_token' }), refreshToken }
  }
  if (context.requireTokenType === true && typeof members.token_type !== 'string') {
    return { ...fail('sent no token type', { reason: 'missing_token_type' }), refreshToken }
  }
  const expiresAt = expiryOf(members, context)
  // A rotated refresh token must not be lost because of it: only the first response of a login is refused.
  if (expiresAt === 'invalid' && grantType !== 'refresh_token') {
    return fail('sent an `expires_in` that is no number', { reason: 'invalid_expires_in' })
  }

  // Most providers grant what was asked for.
  const isAsAsked = members.scope === context.scope.join(' ')
  // The same text, and not a copy for each login.
  if (members.scope === context.usualScope) members.scope = context.usualScope
  const scope = isAsAsked ? [...context.scope] : grantedScope(members.scope, context.scope)
  const tokens: TokenSet = {
    accessToken,
    tokenType: typeof members.token_type === 'string' && members.token_type !== '' ? members.token_type : 'Bearer',
    scope,
    raw: members
  }
  if (typeof expiresAt === 'number') tokens.expiresAt = expiresAt
  if (refreshToken !== undefined) tokens.refreshToken = refreshToken
  if (typeof members.id_token === 'string' && members.id_token !== '') tokens.idToken = members.id_token
  return { tokens, scopeChange: isAsAsked ? undefined : compareScope(scope, context.scope) }
}

/** A refusal in the provider's own words (RFC 6749, section 5.2), without what it repeats of the request. */
function refusal ({ code, description, uri }: NamedError, secrets: readonly string[], fail: Fail) {
  const oauthError = redact(code, secrets)
  return fail(`refused: ${oauthError}`, {
    oauthError,
    oauthErrorDescription: description && redact(description, secrets),
    oauthErrorUri: uri && redact(uri, secrets),
    reason: 'refused'
  })
}

/** Whether the client was refused, not the grant: `invalid_client`, or a challenge in its place. */
export function isClientRefused ({ oauthError, reason }: OAuthError): boolean {
  return oauthError === 'invalid_client' || reason === CLIENT_REFUSED
}

// A refused client is challenged in the scheme that it used (RFC 6749, section 5.2), also if the body has no error.
function refusesClient ({ status, headers }: HttpResponse): boolean {
  const challenges = [headers['www-authenticate'] ?? []].flat()
  return status === 401 && challenges.some(challenge => /^\s*basic\b/i.test(challenge))
}

/**
 * Reads JSON or a form by its content, since content types are often wrong. An integer that a number cannot hold
 * becomes text. Undefined for anything else, and for more than 1,000 members.
 */
export function parseMembers (text: string): TokenMembers | undefined {
  const body = text.replace(/^\ufeff/, '').trim()
  if (body.startsWith('{')) {
    try {
      const members = parseJson(body) as TokenMembers
      return Object.keys(members).length > MAX_MEMBERS ? undefined : members
    } catch {
      return undefined
    }
  }
  if (!/^[\w.~%+-]+=[^<>\s]*(?:&|$)/.test(body.replaceAll(' ', '+'))) return undefined
  if (body.split('&', MAX_MEMBERS + 1).length > MAX_MEMBERS) return undefined
  return plainMembers([...new URLSearchParams(body)])
}

// Defined and not assigned: a member may be called `__proto__`.
function plainMembers (entries: [string, unknown][]): TokenMembers | undefined {
  if (entries.length > MAX_MEMBERS) return undefined
  const members: TokenMembers = {}
  for (const [key, value] of entries) {
    Object.defineProperty(members, key, { value, enumerable: true, writable: true, configurable: true })
  }
  return members
}

/** The refresh token that a response names, as it came. */
export function issuedRefreshToken ({ text }: HttpResponse): string | undefined {
  return tokenString(parseMembers(text)?.refresh_token)
}

function tokenString (value: unknown): string | undefined {
  return typeof value === 'string' && TOKEN.test(value) ? value : undefined
}

/** The error that a response names. */
interface NamedError {
  code: string
  description: string | undefined
  uri: string | undefined
}

function errorOf (
  { error, error_description: description, error_uri: uri }: TokenMembers
): NamedError | undefined {
  // Some languages write `[]` or `{}` for none.
  if (!error || (typeof error === 'object' && Object.keys(error).length === 0)) return undefined
  if (typeof error !== 'object') return { code: String(error), description: textOf(description), uri: textOf(uri) }
  const { type, code, message } = error as Record<string, unknown>
  const name = textOf(type) ?? textOf(code) ?? (typeof code === 'number' ? String(code) : 'error')
  return { code: name, description: textOf(message), uri: undefined }
}

const textOf = (value: unknown) => typeof value === 'string' && value !== '' ? value : undefined

function expiryOf (members: TokenMembers, context: TokenResponseContext): number | undefined | 'invalid' {
  const { now, defaultExpiresIn, stored } = context
  const life = lifeOf(members)
  const known = typeof life === 'number' && life !== 0
  // Providers whose tokens do not expire send 0, and it is stored so.
  const at = numberOf(members.expires_at)
  // A lifetime depends on this machine's clock alone; a time on the provider's as well.
  if (typeof at === 'number' && at !== 0 && Number.isFinite(at) && (stored === true || !known)) return inSeconds(at)
  if (known) return Math.round(now) + Math.floor(Math.max(-MAX_LIFE, Math.min(life, MAX_LIFE)))
  if (defaultExpiresIn !== undefined) return Math.round(now) + defaultExpiresIn
  return life === 'invalid' ? 'invalid' : undefined
}

// The drafts of OAuth 2 called it `expires`. Something else than a number there is no lifetime.
function lifeOf (members: TokenMembers): number | undefined | 'invalid' {
  const drafted = numberOf(members.expires)
  return members.expires_in === undefined && drafted !== 'invalid' ? drafted : numberOf(members.expires_in)
}

function numberOf (value: unknown): number | undefined | 'invalid' {
  if (value === undefined || value === null || value === '') return undefined
  const number = typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && !Number.isNaN(number) ? number : 'invalid'
}

function grantedScope (answered: unknown, asked: readonly string[]): string[] {
  const scope = parseScope(answered)
  if (scope === undefined || (scope.length === 0 && typeof answered === 'string')) return [...asked]
  const limit = asked.length + MAX_FURTHER_SCOPES
  return splitAtCommas(scope, answered, asked).filter(item => item.length <= MAX_SCOPE_LENGTH).slice(0, limit)
}

// A comma is a legal character of a scope token. Between all of them it is a separator, unless a scope with a comma was
// asked for.
function splitAtCommas (scope: string[], answered: unknown, asked: readonly string[]): string[] {
  if (!scope.some(item => item.includes(','))) return scope
  const split = scope.flatMap(item => item.split(',').filter(Boolean))
  const isList =
    typeof answered === 'string' && COMMA_LIST.test(answered.trim()) && !asked.some(item => item.includes(','))
  const askedSet = new Set(asked)
  return isList || split.every(item => askedSet.has(item)) ? split : scope
}

/**
 * The beginning of a response for the log, without tokens.
 * @param secrets values of the request that may come back
 */
export function excerptOf (text: string, secrets: readonly string[] = []): string | undefined {
  return excerptOfText(text, [...secrets, ...secretsIn(parseMembers(text))])
}
