import { AsyncLocalStorage } from 'node:async_hooks'
import type { ScopeChange, TokenSet } from '../oauth/token-set.ts'
import type { User } from '../providers/options.ts'
import type { RecordState } from './record-state.ts'
import { type TokenRecord, userOf } from './record.ts'
import type { TokenRecords } from './records.ts'

/** The second argument of `onTokens`. */
export interface TokensEvent {
  /** Name of the provider. */
  provider: string
  /** The user whose tokens they are; null if the provider does not say who it is. */
  user: User | null
  /** The set that the new one replaces; undefined at login. */
  previous: TokenSet | undefined
  /** What brought the set: a login, or a refresh or `save`. */
  reason: 'login' | 'refresh'
  /** How the granted scope differs from what was asked for, or granted before. */
  scopeChange?: ScopeChange
}

/** The event of a refreshed or saved set. */
export function eventOf (record: TokenRecord, previous: TokenSet, scopeChange?: ScopeChange): TokensEvent {
  const event: TokensEvent = { provider: record.provider, user: userOf(record), previous, reason: 'refresh' }
  if (scopeChange !== undefined) event.scopeChange = scopeChange
  return event
}

type OnTokens = (tokens: TokenSet, event: TokensEvent) => unknown

/** One run of `onTokens`. */
interface HookRun {
  /** Id of the record that it was called for. */
  readonly id: string
  /** The run inside which this one was started, if that is not over. */
  readonly parent: HookRun | undefined
  /** False once the hook has ended: work that it started and did not await may still run in its context. */
  running: boolean
}

// Shared by all instances: the hook of one session may wait for another session, whose hook waits for the first.
const runs = new AsyncLocalStorage<HookRun>()
/** Record → the records that its running hooks wait for, and how many waits there are for each. */
const waits = new Map<string, Map<string, number>>()

/** Runs `onTokens` once for each new set; no other caller uses the set before the hook has ended. */
export class OnTokensHook {
  readonly #records: TokenRecords
  readonly #onTokens: OnTokens | undefined

  constructor (records: TokenRecords, onTokens: OnTokens | undefined) {
    this.#records = records
    this.#onTokens = onTokens
  }

  /** Runs `onTokens` for the set of a login, before anything else uses it. */
  async announce (id: string, tokens: TokenSet, event: TokensEvent): Promise<void> {
    if (this.#onTokens === undefined) return
    await this.withBarrier(this.#records.state(id), () => this.run(id, tokens, event))
  }

  /**
   * Makes storing a set and running `onTokens` one step for other callers: readers of the record wait for both, and
   * fail if they fail.
   */
  async withBarrier<T> (state: RecordState, work: () => Promise<T>): Promise<T> {
    if (this.#onTokens === undefined) return await work()
    const running = work()
    state.holdBarrier(running)
    return await running
  }

  /** Awaits `onTokens` for a set that is stored. */
  async run (id: string, tokens: TokenSet, event: TokensEvent): Promise<void> {
    if (this.#onTokens === undefined) return
    const run: HookRun = { id, parent: runningHook(runs.getStore()), running: true }
    try {
      await runs.run(run, async () => { await this.#onTokens!({ ...tokens, recordId: id }, event) })
    } finally {
      run.running = false
    }
  }

  /**
   * Whether the caller may wait for a record's refresh to end. It may not if the refresh waits for the caller: inside
   * the record's own `onTokens`, and inside one that the record's `onTokens` waits for, directly or indirectly. The
   * record has its new set by then.
   */
  mayWait (id: string): boolean {
    const mine = new Set(runningIds())
    if (mine.size === 0) return true
    const reached = new Set([id])
    for (const next of reached) {
      if (mine.has(next)) return false
      for (const further of waits.get(next)?.keys() ?? []) reached.add(further)
    }
    return true
  }

  /** Waits for a record's refresh; if a hook does so, `mayWait` takes it into account. */
  async waitFor<T> (id: string, work: Promise<T>): Promise<T> {
    const mine = runningIds()
    for (const waiting of mine) count(waiting, id, 1)
    try {
      return await work
    } finally {
      for (const waiting of mine) count(waiting, id, -1)
    }
  }

  /** Waits until the newest set may be used. */
  async waitForBarrier ({ id, barrier }: RecordState): Promise<void> {
    if (barrier !== undefined && this.mayWait(id)) await this.waitFor(id, barrier)
  }
}

/** The innermost run that is not over. */
function runningHook (run: HookRun | undefined): HookRun | undefined {
  while (run !== undefined && !run.running) run = run.parent
  return run
}

/** Ids of the records whose hooks the caller is part of. */
function runningIds (): string[] {
  const ids: string[] = []
  for (let run = runningHook(runs.getStore()); run !== undefined; run = runningHook(run.parent)) ids.push(run.id)
  return ids
}

/** Counts a wait of one record's hook for another record, or its end. */
function count (waiting: string, id: string, change: 1 | -1): void {
  const all = waits.get(waiting) ?? new Map<string, number>()
  const left = (all.get(id) ?? 0) + change
  if (left > 0) all.set(id, left)
  else all.delete(id)
  if (all.size > 0) waits.set(waiting, all)
  else waits.delete(waiting)
}
