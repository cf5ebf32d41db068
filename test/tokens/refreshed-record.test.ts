import t from 'tap'
import { isOutdated, nextRefreshToken, type TokenRecord } from '../../lib/tokens/record.ts'
import { refreshedRecord, withRefreshToken } from '../../lib/tokens/refreshed-record.ts'
import { firstRecord, tokenSet } from '../helpers/token-process.ts'

// The record that follows a refresh, and which refresh token is used next.

const record: TokenRecord = { ...firstRecord, providerEnds: { session: 5_000, refreshToken: 1_000 } }

const refreshed = (from: TokenRecord, refreshToken: string, keepPending = false) =>
  refreshedRecord(from, { tokens: tokenSet(refreshToken, 60), used: nextRefreshToken(from), keepPending, now: 10 })

t.test('a refresh takes the place of a pending set, whose refresh token it has used', async (t) => {
  const pending = refreshed(record, 'two', true)
  t.equal(nextRefreshToken(pending), 'two')
  const next = refreshed(pending, 'three')
  t.equal(next.pendingTokens, undefined)
  t.equal(nextRefreshToken(next), 'three')
  for (const used of ['one', 'two']) t.equal(isOutdated(next, tokenSet(used, 60)), true)
})

t.test('a refresh token that stays is not remembered as used', async (t) => {
  const next = refreshed(record, 'one')
  t.equal(next.usedRefreshTokens, undefined)
  t.equal(isOutdated(next, tokenSet('one', 60)), false)
})

t.test('a refresh token that comes back is good again', async (t) => {
  const next = refreshed(refreshed(record, 'two'), 'one')
  t.equal(isOutdated(next, tokenSet('one', 60)), false)
  t.equal(isOutdated(next, tokenSet('two', 60)), true)
})

t.test('four used refresh tokens are remembered', async (t) => {
  let next = record
  for (const name of ['two', 'three', 'four', 'five', 'six']) next = refreshed(next, name)
  t.equal(next.usedRefreshTokens?.length, 4)
  t.equal(isOutdated(next, tokenSet('two', 60)), true)
})

t.test('a refresh token without an access token leaves no end of the one before', async (t) => {
  const next = withRefreshToken(record, 'two')
  t.match(next, { version: 2, tokens: { accessToken: record.tokens.accessToken, refreshToken: 'two' } })
  t.strictSame(next.providerEnds, { session: 5_000 })
  const pending = withRefreshToken(refreshed(record, 'two', true), 'three')
  t.equal(nextRefreshToken(pending), 'three')
  t.equal(pending.tokens.refreshToken, 'one')
})
