import type { Test } from 'tap'
import { Transport } from '../../lib/http/transport.ts'
import type { TokenStore } from '../../lib/index.ts'
import { resolveProvider } from '../../lib/providers/config.ts'
import { OptionChecker } from '../../lib/providers/option-checker.ts'
import { ProviderClient } from '../../lib/providers/provider.ts'
import { OnTokensHook } from '../../lib/tokens/on-tokens.ts'
import type { TokenRecord } from '../../lib/tokens/record.ts'
import { TokenRecords } from '../../lib/tokens/records.ts'
import { Refresher } from '../../lib/tokens/refresher.ts'
import { RecordTokenSource } from '../../lib/tokens/token-source.ts'
import type { TestProvider } from './provider.ts'

/** What a process has of tokens, without an app around it, and with a clock that can be put forward. */
export interface TokenProcess {
  records: TokenRecords
  refresher: Refresher
  client: ProviderClient
  /** Providers of records that the store was found to have taken back. */
  rollbacks: string[]
  /** As one request has it. */
  source (id: string): RecordTokenSource
  /** What its clocks show as gone by: to the process the same as having been stopped for so long. */
  pass (ms: number): void
}

export function startTokenProcess (
  t: Pick<Test, 'after'>,
  store: TokenStore,
  { providerOptions }: Pick<TestProvider, 'providerOptions'>,
  { cacheMs = 0 } = {}
): TokenProcess {
  let passedMs = 0
  const clock = { now: () => (Date.now() + passedMs) / 1000, monotonic: () => performance.now() + passedMs }
  const transport = new Transport()
  t.after(() => transport.close())
  const rollbacks: string[] = []
  const records = new TokenRecords(store, clock.monotonic, {
    onRollback: (provider) => { rollbacks.push(provider) },
    cacheMs
  })
  const onTokensHook = new OnTokensHook(records, undefined)
  const refresher = new Refresher({ records, clock, log: { error () {}, warn () {}, info () {} }, onTokensHook })
  const client = new ProviderClient(resolveProvider('acme', providerOptions, new OptionChecker()), transport, clock)
  return {
    records,
    refresher,
    client,
    rollbacks,
    source: id => new RecordTokenSource(client, id, { records, refresher, onTokensHook, clock, mode: 'auto' }),
    pass: (ms) => { passedMs += ms }
  }
}

/** What a login may have brought: good until then (epoch seconds). */
export function tokenSet (refreshToken: string, expiresAt: number) {
  return { accessToken: `access of ${refreshToken}`, tokenType: 'Bearer', expiresAt, refreshToken, scope: [], raw: {} }
}

/** A record as a login makes it, for tests without an app. */
export const firstRecord: TokenRecord = {
  version: 1,
  provider: 'acme',
  providerIdentity: 'of acme',
  tokens: tokenSet('one', 60),
  obtainedAt: 0,
  ttl: 3600,
  user: null
}
