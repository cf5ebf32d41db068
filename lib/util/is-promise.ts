import { types } from 'node:util'

/**
 * Whether a function that has to answer at once has returned a promise. A rejection of it is caught: nothing else
 * awaits it, and it would end the process.
 */
export function isPromise (value: unknown): boolean {
  if (!types.isPromise(value)) return false
  value.catch(() => {})
  return true
}
