import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'

/** Where a program is on the PATH; undefined where it is not. */
export function findBinary (name: string): string | undefined {
  return (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/**
 * Whether a program that a test needs is there. Where it is not, the test says so and is skipped: except with
 * REQUIRE_SERVICES=1, as in CI, where nothing may go untested unnoticed.
 */
export function requireService (t: Pick<Test, 'pass'>, binary: string): boolean {
  if (findBinary(binary) !== undefined) return true
  const message = `${binary} is not on the PATH`
  if (process.env.REQUIRE_SERVICES === '1') throw new Error(message)
  t.pass(`NOT TESTED: ${message}`, { skip: message })
  return false
}
