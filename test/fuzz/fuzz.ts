/** Runs hostile input against the targets. */
import fc from 'fast-check'
import type { Scope } from './site.ts'
import { TARGETS, type Target } from './targets.ts'

export interface FuzzOptions {
  /** Inputs, of all targets together. */
  runs: number
  seed: number
  /** Names of targets, or parts of them. Default all. */
  only?: string[] | undefined
}

export interface FuzzResult {
  name: string
  runs: number
  /** Undefined where all went well; else the smallest input that does not, and what comes of it. */
  failure?: string
  /** Why it was not run. */
  skipped?: string
}

/** Runs each target with its share of the inputs, one after the other. */
export async function * fuzz ({ runs, seed, only }: FuzzOptions): AsyncGenerator<FuzzResult> {
  const chosen = TARGETS.filter(({ name }) => only === undefined || only.some(part => name.includes(part)))
  for (const target of chosen) yield await attack(target, Math.ceil(runs / chosen.length), seed)
}

async function attack ({ name, input, open }: Target, numRuns: number, seed: number): Promise<FuzzResult> {
  const ends: Array<() => unknown> = []
  const scope: Scope = { after: (end) => { ends.unshift(end) } }
  try {
    const opened = await open(scope)
    if (opened === undefined) return { name, runs: 0, skipped: 'a program that it needs is not on the PATH' }
    const { site, attack } = opened
    const property = fc.asyncProperty(input, async (one) => {
      const complaints = await attack(one)
      if (complaints.length > 0) throw new Error([...new Set(complaints)].join('\n'))
    })
    const details = await fc.check(property, { numRuns, seed, verbose: 0 })
    const broken = details.failed ? [] : await site.isWell()
    if (details.failed) return { name, runs: details.numRuns, failure: reportOf(details) }
    return { name, runs: details.numRuns, ...(broken.length > 0 && { failure: broken.join('\n') }) }
  } finally {
    for (const end of ends) await end()
  }
}

function reportOf ({ counterexample, errorInstance, seed }: fc.RunDetails<[unknown]>): string {
  const [smallest] = counterexample ?? []
  const why = errorInstance instanceof Error ? errorInstance.message : ''
  return `seed ${seed}, smallest input: ${fc.stringify(smallest)}\n${why}`
}
