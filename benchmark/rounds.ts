/** Runs contestants in turns, round by round, and reads the CPU time of each one's process around its turn. */
import type { LoadResult } from './load/at-once.ts'
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

/** The turns of each candidate, in the candidates' order. Every other round goes backwards. */
export async function runRounds (candidates: readonly Candidate[], options: RoundsOptions): Promise<Turn[][]> {
  const turns = candidates.map((): Turn[] => [])
  for (const candidate of candidates) await takeTurn(candidate, options.warmUp)
  for (const { peer, profile } of candidates) if (profile !== undefined) await peer.call('startProfile')
  const order = [...candidates.keys()]
  for (let round = 0; round < options.rounds; round++) {
    for (const index of order) turns[index]!.push(await takeTurn(candidates[index]!, options.count))
    order.reverse()
  }
  for (const { peer, profile: file } of candidates) if (file !== undefined) await peer.call('writeProfile', { file })
  return turns
}

async function takeTurn ({ peer, run, title }: Candidate, count: number): Promise<Turn> {
  const before = await peer.call<number>('cpu')
  const result = await run(count)
  const cpu = (await peer.call<number>('cpu') - before) / count
  if (result.failed > 0) throw new Error(`${title}: ${result.failed} of ${count} failed: ${result.firstFailure}`)
  return { cpu, ...result }
}
