import { StoreUnavailableError } from '../errors.ts'
import { isSameSet, type TokenSet } from '../oauth/token-set.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { loginEnded } from '../providers/refresh-errors.ts'
import type { Clock } from '../util/clock.ts'
import { sleep } from '../util/timeout.ts'
import { eventOf, type OnTokensHook } from './on-tokens.ts'
import { providerEnds } from './provider-ends.ts'
import { isOutdated, isRecordOf, nextRefreshToken, type TokenRecord } from './record.ts'
import type { TokenRecords } from './records.ts'
import { FIRST_POLL_MS, POLL_MS } from './refresh-lease.ts'
import type { Refresher } from './refresher.ts'
import { isTimed, type TokenLifetime } from './token-lifetime.ts'

interface SaveContext {
  records: TokenRecords
  refresher: Refresher
  onTokensHook: OnTokensHook
  clock: Clock
  lifetime?: TokenLifetime | undefined
}

/**
 * Makes a set the current one: the pending one, or one from elsewhere. It waits for a refresh that is under way. A set
 * that a refresh has replaced is not written, because its refresh token has been used.
 * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_STORE_UNAVAILABLE
 */
export async function saveTokens (
  context: SaveContext, provider: ProviderClient, id: string, tokens: TokenSet
): Promise<void> {
  await context.refresher.exclusive(provider, id, () => saveNow(context, provider, id, tokens))
}

async function saveNow (
  { records, onTokensHook, clock, lifetime }: SaveContext, provider: ProviderClient, id: string, tokens: TokenSet
): Promise<TokenRecord> {
  const givenUpAt = clock.monotonic() + provider.config.requestTimeout
  for (let wait = FIRST_POLL_MS; clock.monotonic() < givenUpAt; wait = Math.min(wait * 2, POLL_MS)) {
    const current = await records.read(id)
    if (!isRecordOf(current, provider.config)) throw loginEnded(provider)
    if (isTimed(current, { lifetime })) await lifetime!.check()
    // Another request has saved it already; or a refresh has brought a newer one, whose refresh token is the only copy.
    if (isOutdated(current, tokens) || isSameSet(current.tokens, tokens)) return current
    const version = current.version + 1
    const next: TokenRecord = {
      ...current,
      version,
      tokens,
      pendingTokens: undefined,
      obtainedAt: Math.round(clock.now()),
      // It is not known when a set from elsewhere was issued.
      ...(tokens.refreshToken !== nextRefreshToken(current) && {
        providerEnds: providerEnds(current.providerEnds?.session, undefined)
      })
    }
    const saved = await onTokensHook.withBarrier(records.state(id), async () => {
      if (!await records.update(id, next)) return false
      await onTokensHook.run(id, tokens, eventOf(next, current.tokens))
      return true
    })
    if (saved) return next
    await sleep(wait)
  }
  throw new StoreUnavailableError('the token set could not be saved; try again in a moment', {
    provider: provider.name, reason: 'save', retryAfter: 1
  })
}
