/** A test and its outcome in the last run of its file. */
export interface Result {
  readonly title: string
  readonly passed: boolean
  readonly skipped: boolean
}

/**
 * The tests of a file, subtests included, from what tap keeps of its last run; assertions are left out.
 * @param tap TAP version 14, in which a backslash escapes `\` and `#`
 */
export function parseResults (tap: string): Result[] {
  const tests = new Set([...tap.matchAll(/^ *# Subtest: (.*)$/gm)].map(([, title]) => title))
  const results: Result[] = []
  for (const [, not, title = '', directive = ''] of tap.matchAll(
    /^ *(not )?ok \d+ - ((?:[^#\\\n]|\\.)*?)(?: #(.*))?(?: \{)?$/gm
  )) {
    const skipped = /\b(?:SKIP|TODO)\b/i.test(directive)
    if (!tests.has(title) && !skipped) continue
    results.push({ title: title.replace(/\\(.)/g, '$1'), passed: not === undefined, skipped })
  }
  return results
}

/** The tests that a title of the checklist means: the one that has it, else all whose titles begin with it. */
export function resultsOf (title: string, results: readonly Result[]): Result[] {
  const exact = results.filter(result => result.title === title)
  return exact.length > 0 ? exact : results.filter(result => result.title.startsWith(title))
}
