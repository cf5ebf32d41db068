/** Runs contestants in turns, round by round, and reads the CPU time of each one's process around its turn. */
import type { LoadResult } from './load/at-once.ts'
import { endPeer } from './processes.ts'
import type { Peer } from './rpc.ts'

export interface Turn extends LoadResult {
  /** Microseconds of CPU, user and system, for one operation. */
  cpu: number
}

export interface Candidate {
  readonly title: string
  readonly peer: Peer
  /** Sends so many operations. */
  readonly run: (count: number) => Promise<LoadResult>
  /** The part of the operations that it does, default 1. */
  readonly share?: number | undefined
  /** Where its CPU profile goes. */
  readonly profile?: string | undefined
}

export interface RoundsOptions {
  readonly rounds: number
  /** Operations of a turn. */
  readonly count: number
  /** Operations before the first round. */
  readonly warmUp: number
}

/** What a candidate did; one that failed has had no further turns. */
export interface Outcome {
  turns: Turn[]
  failure?: string
}

/** A turn that takes longer has failed. */
const TURN_MS = 60_000

/** The outcome of each candidate, in the candidates' order. Every other round goes backwards. */
export async function runRounds (candidates: readonly Candidate[], options: RoundsOptions): Promise<Outcome[]> {
  const outcomes = candidates.map((): Outcome => ({ turns: [] }))
  const order = [...candidates.keys()]

  /** One turn of each that has not failed yet. */
  async function takeTurns (count: number, keep: boolean): Promise<void> {
    for (const index of order) {
      const candidate = candidates[index]!
      const outcome = outcomes[index]!
      if (outcome.failure !== undefined) continue
      try {
        const turn = await takeTurn(candidate, count)
        if (keep) outcome.turns.push(turn)
      } catch (error) {
        outcome.failure = (error as Error).message
        endPeer(candidate.peer)
      }
    }
    order.reverse()
  }

  await takeTurns(options.warmUp, false)
  for (const { peer, profile } of candidates) if (profile !== undefined) await peer.call('startProfile')
  for (let round = 0; round < options.rounds; round++) await takeTurns(options.count, true)
  for (const { peer, profile: file } of candidates) if (file !== undefined) await peer.call('writeProfile', { file })
  return outcomes
}

async function takeTurn ({ peer, run, title, share = 1 }: Candidate, full: number): Promise<Turn> {
  const count = Math.ceil(full * share)
  const before = await peer.call<number>('cpu')
  const result = await withinTurn(run(count))
  const cpu = (await peer.call<number>('cpu') - before) / count
  if (result.failed > 0) throw new Error(`${title}: ${result.failed} of ${count} failed: ${result.firstFailure}`)
  return { cpu, ...result }
}

async function withinTurn<Result> (running: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${TURN_MS / 1000} s`)), TURN_MS)
  })
  return Promise.race([running, timeout]).finally(() => clearTimeout(timer))
}
