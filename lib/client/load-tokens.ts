import { InvalidOptionsError } from '../errors.ts'
import { readTokenResponse, type Conform } from '../protocol/token-response.ts'
import type { TokenSet } from '../protocol/token-set.ts'

interface LoadContext {
  now: number
  scope: readonly string[]
  provider: string
  conform?: Conform | undefined
}

/**
 * Reads tokens that were kept somewhere: a TokenSet, or an answer's members (`access_token`, …). An expiry that was kept
 * counts; where there is none, `expires_in` counts from now.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function loadTokens (input: TokenSet | Record<string, unknown>, { now, scope, provider, conform }: LoadContext): TokenSet {
  if (isTokenSet(input)) return { ...input, scope: [...input.scope] }
  const members = { ...input }
  const answer = { status: 200, headers: {}, text: JSON.stringify(members) }
  const read = readTokenResponse(answer, { provider, now, grantType: 'refresh_token', scope, conform, stored: true })
  if ('error' in read) throw new InvalidOptionsError(`the tokens given for provider "${provider}" hold no access token`, { provider, reason: 'missing_token' })
  return read.tokens
}

function isTokenSet (input: TokenSet | Record<string, unknown>): input is TokenSet {
  return typeof (input as TokenSet).accessToken === 'string' && Array.isArray((input as TokenSet).scope)
}

/**
 * When a set that was kept somewhere was obtained, in epoch seconds: as its answer told, else at the epoch, since what is left
 * of a token's life says nothing about the whole of it.
 */
export function obtainedAtOf ({ expiresAt, raw }: TokenSet): number {
  const life = Number(raw.expires_in)
  return expiresAt !== undefined && life > 0 ? expiresAt - life : 0
}
