import { Random } from './random.ts'

/** What goes wrong with one token request. */
export type Fault =
  /** The connection is cut; the provider has not acted. */
  | 'cut before'
  /** The provider has acted, and the connection is cut before or in the middle of the answer. */
  | 'cut after' | 'cut midway'
  /** The provider has acted, and a gateway in front of it answers 504. */
  | 'gateway'
  /** 503; the provider has not acted. */
  | 'unavailable'
  | 'late before' | 'late after'
  /** The answer comes when a lease that was not extended would be over. */
  | 'very late'

export interface DrawnFault {
  kind: Fault | undefined
  delayMs: number
}

/**
 * Whether the provider has acted and its answer never arrives: with rotation, such a login is lost.
 */
export const losesAnswer = (kind: string | undefined): boolean =>
  kind === 'cut after' || kind === 'cut midway' || kind === 'gateway'

/**
 * Draws the fault of one request. It depends on the request alone and not on when it comes, so that a seed means the
 * same faults whatever the machine's speed.
 */
export function drawFault (seed: string | number, request: string, attempt: number): DrawnFault {
  const random = new Random(seed, 'fault', request, attempt)
  const kind = random.weighted({
    none: 900,
    'cut before': 12,
    'cut after': 4,
    'cut midway': 3,
    gateway: 2,
    unavailable: 10,
    'late before': 30,
    'late after': 35,
    'very late': 4
  })
  if (kind === 'none') return { kind: undefined, delayMs: 0 }
  if (kind === 'very late') return { kind, delayMs: random.between(5_000, 7_000) }
  return { kind, delayMs: kind.startsWith('late') ? random.between(20, 900) : 0 }
}
