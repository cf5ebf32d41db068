import { NotUnderstood, type ConformanceCase } from './case.ts'
import { withCleanup, type Cleanup } from './cleanup.ts'
import type { Observation } from './observation.ts'

/** What a case's `op` means. */
export interface Operation {
  /** The members of `given` that it, or the translation it uses, knows. */
  readonly given: readonly string[]
  /** The members of `when` that it knows, beside `op`. */
  readonly when?: readonly string[]
  run (parts: Pick<ConformanceCase, 'given' | 'when'>): Promise<Observation>
}

/**
 * Does what a case asks for. An error is an outcome like any other, beside what was observed up to then; that something
 * is not understood is none.
 */
export async function observe (work: (observed: Observation) => Promise<unknown>): Promise<Observation> {
  // Where not even a provider came about, nothing went out.
  const observed: Observation = { wire: [] }
  try {
    await work(observed)
  } catch (error) {
    if (error instanceof NotUnderstood) throw error
    observed.error = error
  }
  return observed
}

/** The same for work that opens something, which is closed afterwards. */
export async function observeAndClose (
  work: (observed: Observation, cleanup: Cleanup) => Promise<unknown>
): Promise<Observation> {
  return await withCleanup(cleanup => observe(observed => work(observed, cleanup)))
}
