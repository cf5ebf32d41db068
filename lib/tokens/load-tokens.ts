import { InvalidOptionsError, type OAuthError } from '../errors.ts'
import { type Conform, readTokenResponse } from '../oauth/token-response.ts'
import { inSeconds, parseScope, type TokenSet } from '../oauth/token-set.ts'

/** Tokens that an app has stored: a token set, or columns of a table with the same names. */
export interface KeptTokens {
  /** The access token. */
  accessToken: string
  /** The refresh token. */
  refreshToken?: string | null | undefined
  /** The ID token. */
  idToken?: string | null | undefined
  /** The token type. Default `Bearer`. */
  tokenType?: string | null | undefined
  /** When the token expires: epoch seconds or milliseconds, a Date, or an ISO 8601 date with zone. Default unknown. */
  expiresAt?: number | bigint | string | Date | null | undefined
  /** The granted scope: a list, or a string with spaces. Default the scope that the session asks for. */
  scope?: string | readonly string[] | null | undefined
  /** The members of the token response. */
  raw?: Record<string, unknown> | null | undefined
  /** The `recordId` of a set that `onTokens` got. */
  recordId?: string | undefined
}

/** A token set, such columns, or the members of a token response (`access_token`, …). */
export type TokensInput = TokenSet | KeptTokens | Record<string, unknown>

interface LoadContext {
  /** Epoch seconds. */
  now: number
  /** The scope of tokens that have none. */
  scope: readonly string[]
  provider: string
  conform?: Conform | undefined
  /** Whether the tokens are bound to a key (RFC 9449). */
  isBound?: boolean
}

/** The characters of a token (RFC 6749, appendix A.12 and A.17). */
const TOKEN = /^[\x20-\x7e]+$/

/**
 * Reads stored tokens. Their expiry is used; if there is none, `expires_in` counts from now, and 0 means that the
 * token has expired.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function loadTokens (input: TokensInput, context: LoadContext): TokenSet {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw invalidTokens(context, 'are no object; pass a token set, or the members of a token response')
  }
  const { accessToken, tokenType, token_type: memberType } = input as Record<string, unknown>
  const tokens = isAbsent(accessToken)
    ? fromMembers(input as Record<string, unknown>, context)
    : fromColumns(input as KeptTokens, context)
  if (context.isBound !== true) return tokens
  if (isAbsent(isAbsent(accessToken) ? memberType : tokenType)) return { ...tokens, tokenType: 'DPoP' }
  if (tokens.tokenType.toLowerCase() === 'dpop') return tokens
  throw invalidTokens(context, `are of type "${tokens.tokenType.slice(0, 40)}", and the login has a DPoP key`)
}

function fromColumns (input: KeptTokens, context: LoadContext): TokenSet {
  const { raw, recordId } = input
  const accessToken = tokenOf('accessToken', input.accessToken, context)!
  const refreshToken = tokenOf('refreshToken', input.refreshToken, context)
  const idToken = tokenOf('idToken', input.idToken, context)
  const tokenType = tokenOf('tokenType', input.tokenType, context)
  const expiresAt = epochSeconds(input.expiresAt)
  if (expiresAt === 'invalid') {
    throw invalidTokens(
      context,
      'have an expiresAt that is no time; write epoch seconds, a Date, or an ISO 8601 date with its time zone'
    )
  }
  const scope = isAbsent(input.scope) ? [...context.scope] : parseScope(input.scope)
  if (scope === undefined) throw invalidTokens(context, 'have a scope that is neither a list of strings nor a string')
  return {
    accessToken,
    tokenType: tokenType ?? 'Bearer',
    ...(expiresAt !== undefined && { expiresAt }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(idToken !== undefined && { idToken }),
    scope,
    raw: typeof raw === 'object' && raw !== null ? raw : {},
    ...(typeof recordId === 'string' && { recordId })
  }
}

function fromMembers (input: Record<string, unknown>, context: LoadContext): TokenSet {
  const { provider, now, scope, conform } = context
  const members = { ...input }
  const end = epochSeconds(members.expires_at)
  if (typeof end === 'number') members.expires_at = end
  const answer = { status: 200, headers: {}, text: textOf(members, context) }
  const read = readTokenResponse(answer, { provider, now, grantType: 'refresh_token', scope, conform, stored: true })
  if ('error' in read) throw invalidTokens(context, 'hold no access token', 'missing_token')
  const { tokens } = read
  if (tokens.expiresAt !== undefined || end === 0 || !isZero(tokens.raw.expires_in)) return tokens
  return { ...tokens, expiresAt: Math.floor(now) - 1 }
}

function textOf (members: Record<string, unknown>, context: LoadContext): string {
  try {
    return JSON.stringify(members, (_name, value: unknown) => typeof value === 'bigint' ? Number(value) : value)
  } catch {
    throw invalidTokens(context, 'cannot be written as JSON')
  }
}

function tokenOf (name: keyof KeptTokens, value: unknown, context: LoadContext): string | undefined {
  if (isAbsent(value)) return undefined
  if (typeof value !== 'string') throw invalidTokens(context, `have a ${name} that is no string`)
  if (!TOKEN.test(value)) throw invalidTokens(context, `have a ${name} with characters that no token has`)
  return value
}

const isAbsent = (value: unknown) => value === undefined || value === null || value === ''

const isZero = (value: unknown) =>
  value === 0 || (typeof value === 'string' && value.trim() !== '' && Number(value) === 0)

/** A time as a database may return it. A date without its time zone could be hours off. */
function epochSeconds (value: unknown): number | undefined | 'invalid' {
  if (isAbsent(value)) return undefined
  if (typeof value === 'string' && /^\s*-?\d+(?:\.\d+)?\s*$/.test(value)) return inSeconds(Number(value))
  if (typeof value === 'string' && !/\d\s*(?:z|[+-]\d\d(?::?\d\d)?)$/i.test(value)) return 'invalid'
  const seconds = value instanceof Date || typeof value === 'string'
    ? Math.floor(new Date(value).getTime() / 1000)
    : typeof value === 'bigint' ? Number(value) : value
  return typeof seconds === 'number' && Number.isFinite(seconds) ? inSeconds(seconds) : 'invalid'
}

function invalidTokens (
  { provider }: LoadContext, what: string, reason: 'invalid_tokens' | 'missing_token' = 'invalid_tokens'
): OAuthError {
  return new InvalidOptionsError(`the tokens given for provider "${provider}" ${what}`, { provider, reason })
}

/**
 * When a stored set was obtained, in epoch seconds: by its response's `expires_in`, else the epoch, since the rest of a
 * token's life says nothing about the whole of it.
 */
export function obtainedAtOf ({ expiresAt, raw }: TokenSet): number {
  const life = Number(raw.expires_in)
  return expiresAt !== undefined && life > 0 ? expiresAt - life : 0
}
