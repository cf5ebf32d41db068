import { readFile } from 'node:fs/promises'

/** What a case is given, does or expects: members as they stand in the file. */
export type Members = Record<string, any>

/** One case of a conformance file. */
export interface ConformanceCase {
  readonly id: string
  readonly given: Members
  readonly when: Members & { op: string }
  readonly expect: Members
}

/**
 * A case says something that this runner has no translation for: it is counted apart, never as passed.
 * The message names what it is.
 */
export class NotUnderstood extends Error {}

/** Reads a file of cases. */
export async function readCases (file: string): Promise<ConformanceCase[]> {
  const cases: unknown = JSON.parse(await readFile(file, 'utf8'))
  if (!Array.isArray(cases)) throw new Error(`${file} is no list of cases`)
  return cases.map(({ given = {}, when, expect = {}, ...rest }) => ({ ...rest, given, when, expect }))
}
