import { type DpopKey, isDpopKey } from '../oauth/dpop-key.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { User } from '../providers/options.ts'
import { isObject } from '../util/is-object.ts'
import { isTextList } from '../util/is-text.ts'
import { shortHash } from '../util/random.ts'
import { detailsOf } from './account-details.ts'
import type { ProviderEnds } from './provider-ends.ts'
import { isLocal, type StoredRecord, type TokenStore } from './stores/token-store.ts'

/** What a refreshed ID token is compared with, beside the ID token before it (OpenID Connect Core, section 12.2). */
export interface LoginIdentity {
  sub: string
  iss: string
  /** `shortHash` of the nonce, if the newest ID token has none. */
  nonceHash?: string
  /** When the user authenticated, in epoch seconds, if the newest ID token does not say. */
  authTime?: number
}

/** One connected account's tokens, as they are used. Never changed in place: each new set is a new record. */
export interface TokenRecord {
  /** Counts the sets: 1 at login, one more with each refresh. */
  readonly version: number
  readonly provider: string
  /** `identity` of the provider that issued the tokens; no other is ever sent them. */
  readonly providerIdentity: string
  readonly tokens: TokenSet
  /** Epoch seconds at which the set was obtained, rounded as `expiresAt` is: their difference is the token's life. */
  readonly obtainedAt: number
  /** Seconds that the record is kept after a write. */
  readonly ttl: number
  /** If it is absent, `details` says who the user is. */
  readonly user?: User | null | undefined
  /** The account's `details` of the login, one text with the session's: in the memory of this process alone. */
  readonly details?: string | undefined
  /** What the claims are, if a refresh has changed them since the login. */
  readonly claims?: Record<string, unknown> | undefined
  readonly identity?: LoginIdentity | undefined
  /**
   * A set that a refresh brought and `save` has not made the current one yet (refresh method `notify`). Its refresh
   * token is the one to use.
   */
  readonly pendingTokens?: TokenSet | undefined
  /** What the token request of the login named as `resource`: each refresh names it as well (RFC 8707). */
  readonly resource?: readonly string[] | undefined
  /** Parameters of the login's authorization response that each refresh repeats. */
  readonly callbackParams?: Readonly<Record<string, string>> | undefined
  /** The key that the tokens are bound to, those of each refresh too. Never in the session, and never in a set. */
  readonly dpopKey?: DpopKey | undefined
  /** Hashes of the refresh tokens that were used last: a set that holds one of them is outdated. */
  readonly usedRefreshTokens?: readonly string[] | undefined
  /** When the provider ends the login, if it said so. */
  readonly providerEnds?: ProviderEnds | undefined
}

/** Used refresh tokens that a record remembers. */
const MAX_USED = 4

/** Whether a record is of a provider: the tokens of another one under the same name are neither used nor changed. */
export function isRecordOf (record: TokenRecord | undefined, provider: { identity: string }): record is TokenRecord {
  return record?.providerIdentity === provider.identity
}

/** The user whose tokens they are; null if the provider does not say who it is. */
export function userOf ({ user, details }: TokenRecord): User | null {
  return user === undefined && details !== undefined ? detailsOf({ details }).user : user ?? null
}

/** The refresh token that the provider takes next. */
export function nextRefreshToken ({ tokens, pendingTokens }: TokenRecord): string | undefined {
  return pendingTokens?.refreshToken ?? tokens.refreshToken
}

/** The sets whose tokens the provider may still accept, the newest first: what the end of a login has to revoke. */
export function setsToRevoke ({ tokens, pendingTokens }: Pick<TokenRecord, 'tokens' | 'pendingTokens'>): TokenSet[] {
  return pendingTokens === undefined ? [tokens] : [pendingTokens, tokens]
}

/** The hashes of the used refresh tokens, with one more. */
export function withUsedRefreshToken ({ usedRefreshTokens = [] }: TokenRecord, refreshToken: string): string[] {
  return [...usedRefreshTokens, shortHash(refreshToken)].slice(-MAX_USED)
}

/** Whether a refresh has replaced a set already: making it the current one would lose the set that came after it. */
export function isOutdated (record: TokenRecord, { refreshToken }: TokenSet): boolean {
  return (
    refreshToken !== undefined &&
    refreshToken !== nextRefreshToken(record) &&
    record.usedRefreshTokens?.includes(shortHash(refreshToken)) === true
  )
}

// The tokens are members of the response too: they are stored once.
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

function isLoginIdentity (value: unknown): boolean {
  if (!isObject(value)) return false
  const { sub, iss, nonceHash, authTime } = value
  return isTextList([sub, iss]) && isTextOrAbsent(nonceHash) && (authTime === undefined || Number.isFinite(authTime))
}

/** Whether a stored record is a token record; anything else is treated as missing. */
export function isTokenRecord (stored: StoredRecord): boolean {
  const { version, provider, providerIdentity, tokens, pendingTokens } = stored
  const { obtainedAt, ttl, user, identity, usedRefreshTokens, dpopKey, resource, providerEnds, claims } = stored
  const { callbackParams } = stored
  return (
    version > 0 &&
    typeof provider === 'string' &&
    typeof providerIdentity === 'string' &&
    isStoredSet(tokens) &&
    (pendingTokens === undefined || isStoredSet(pendingTokens)) &&
    Number.isFinite(obtainedAt) &&
    Number.isFinite(ttl) &&
    (user === null || (isObject(user) && typeof user.id === 'string')) &&
    (claims === undefined || isObject(claims)) &&
    (identity === undefined || isLoginIdentity(identity)) &&
    (usedRefreshTokens === undefined || isTextList(usedRefreshTokens)) &&
    (dpopKey === undefined || isDpopKey(dpopKey)) &&
    (resource === undefined || isTextList(resource)) &&
    (callbackParams === undefined || (isObject(callbackParams) && isTextList(Object.values(callbackParams)))) &&
    (providerEnds === undefined || (isObject(providerEnds) && Object.values(providerEnds).every(Number.isFinite)))
  )
}

/** How a store holds records. */
export interface RecordForm {
  encode (record: TokenRecord): StoredRecord
  decode (stored: StoredRecord | undefined): TokenRecord | undefined
}

/** For a store that serializes. */
const COMPACT: RecordForm = {
  encode (record) {
    const { details: _local, ...kept } = record
    const { pendingTokens, tokens } = record
    return {
      ...kept,
      user: userOf(record),
      tokens: compact(tokens),
      expiresAt: tokens.expiresAt,
      ...(pendingTokens !== undefined && { pendingTokens: compact(pendingTokens) })
    }
  },
  decode (stored) {
    if (stored === undefined) return undefined
    const { expiresAt: _copy, ...record } = stored as unknown as TokenRecord & { expiresAt?: number }
    return {
      ...record,
      tokens: expand(record.tokens),
      ...(record.pendingTokens !== undefined && { pendingTokens: expand(record.pendingTokens) })
    }
  }
}

/** For a store that keeps objects: a record is never changed, so one serves all. */
const AS_IS: RecordForm = {
  encode: record => record as TokenRecord & StoredRecord,
  decode: stored => stored as TokenRecord | undefined
}

/** The form in which a store holds records. */
export function recordFormOf (store: TokenStore): RecordForm {
  return isLocal(store) ? AS_IS : COMPACT
}
