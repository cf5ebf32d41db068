import type { TokenSet } from '../oauth/token-set.ts'
import type { User } from '../providers/options.ts'
import { shortHash } from '../util/random.ts'
import type { StoredRecord } from './stores/token-store.ts'

/** One connected account's tokens, as they are used. Never changed in place: each new set is a new record. */
export interface TokenRecord {
  /** Counts the sets: 1 at login, one more with each refresh. */
  readonly version: number
  readonly provider: string
  /** `identity` of the provider that issued the tokens; no other is ever sent them. */
  readonly providerIdentity: string
  readonly tokens: TokenSet
  /** Epoch seconds at which the set was obtained. */
  readonly obtainedAt: number
  /** Seconds that the record is kept after a write. */
  readonly ttl: number
  readonly user: User | null
  /** Subject and issuer that a refreshed ID token must name. */
  readonly identity?: { sub: string, iss: string } | undefined
  /**
   * A set that was refreshed and not taken over yet (refresh method `notify`). Its refresh token is the one that
   * counts.
   */
  readonly pendingTokens?: TokenSet | undefined
  /** Hashes of the refresh tokens used up last: a set that holds one of them is outdated. */
  readonly usedRefreshTokens?: readonly string[] | undefined
}

/** Refresh tokens that are remembered as used up. */
const MAX_SPENT = 4

/** Whether a record is there for a provider: tokens of another one under its name are not used, and not touched. */
export function isRecordOf (record: TokenRecord | undefined, provider: { identity: string }): record is TokenRecord {
  return record?.providerIdentity === provider.identity
}

/** The refresh token that the provider takes next. */
export function nextRefreshToken ({ tokens, pendingTokens }: TokenRecord): string | undefined {
  return pendingTokens?.refreshToken ?? tokens.refreshToken
}

/** The sets whose tokens may be live at the provider, the newest first: what an end of the login has to revoke. */
export function liveSets ({ tokens, pendingTokens }: Pick<TokenRecord, 'tokens' | 'pendingTokens'>): TokenSet[] {
  return pendingTokens === undefined ? [tokens] : [pendingTokens, tokens]
}

/** What is remembered as used up when one more is. */
export function withUsedRefreshToken (
  { usedRefreshTokens = [] }: TokenRecord, refreshToken: string
): readonly string[] {
  return [...usedRefreshTokens, shortHash(refreshToken)].slice(-MAX_SPENT)
}

/** Whether a set was replaced by a refresh already: making it the current one would lose what came after it. */
export function isOutdated (record: TokenRecord, { refreshToken }: TokenSet): boolean {
  return (
    refreshToken !== undefined &&
    refreshToken !== nextRefreshToken(record) &&
    record.usedRefreshTokens?.includes(shortHash(refreshToken)) === true
  )
}

// The tokens stand in the answer's members too: they are stored once.
function compact (tokens: TokenSet): TokenSet {
  const { access_token: _access, refresh_token: _refresh, id_token: _id, ...raw } = tokens.raw
  return { ...tokens, raw }
}

function expand (tokens: TokenSet): TokenSet {
  const raw: Record<string, unknown> = { ...tokens.raw, access_token: tokens.accessToken }
  if (tokens.refreshToken !== undefined) raw.refresh_token = tokens.refreshToken
  if (tokens.idToken !== undefined) raw.id_token = tokens.idToken
  return { ...tokens, raw }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isTextList = (value: unknown) => Array.isArray(value) && value.every(item => typeof item === 'string')

const isTextOrAbsent = (value: unknown) => value === undefined || typeof value === 'string'

function isStoredSet (value: unknown): boolean {
  if (!isObject(value)) return false
  const { accessToken, tokenType, refreshToken, idToken, expiresAt, scope, raw } = value
  return (
    typeof accessToken === 'string' &&
    accessToken !== '' &&
    typeof tokenType === 'string' &&
    isTextList(scope) &&
    isObject(raw) &&
    isTextOrAbsent(refreshToken) &&
    isTextOrAbsent(idToken) &&
    (expiresAt === undefined || Number.isFinite(expiresAt))
  )
}

/** Whether a record of a store is a token record: what is anything else counts as not there. */
export function isTokenRecord (stored: StoredRecord): boolean {
  const {
    version,
    provider,
    providerIdentity,
    tokens,
    pendingTokens,
    obtainedAt,
    ttl,
    user,
    identity,
    usedRefreshTokens
  } = stored
  return (
    version > 0 &&
    typeof provider === 'string' &&
    typeof providerIdentity === 'string' &&
    isStoredSet(tokens) &&
    (pendingTokens === undefined || isStoredSet(pendingTokens)) &&
    Number.isFinite(obtainedAt) &&
    Number.isFinite(ttl) &&
    (user === null || (isObject(user) && typeof user.id === 'string')) &&
    (identity === undefined || (isObject(identity) && isTextList([identity.sub, identity.iss]))) &&
    (usedRefreshTokens === undefined || isTextList(usedRefreshTokens))
  )
}

/** A record in the store's form. */
export function encodeRecord (record: TokenRecord): StoredRecord {
  const { pendingTokens, tokens } = record
  return {
    ...record,
    tokens: compact(tokens),
    expiresAt: tokens.expiresAt,
    ...(pendingTokens !== undefined && { pendingTokens: compact(pendingTokens) })
  }
}

/** What a record in the store's form says. */
export function decodeRecord (stored: StoredRecord | undefined): TokenRecord | undefined {
  if (stored === undefined) return undefined
  const { expiresAt: _copy, ...record } = stored as unknown as TokenRecord & { expiresAt?: number }
  return {
    ...record,
    tokens: expand(record.tokens),
    ...(record.pendingTokens !== undefined && { pendingTokens: expand(record.pendingTokens) })
  }
}
