import type { Result } from './runner.ts'

/**
 * A run in lines: each failure with its id, what was not understood by its name, and last how many there are of each.
 */
export function report (results: readonly Result[]): string[] {
  const lines: string[] = []
  const unknown = new Map<string, string[]>()
  for (const result of results) {
    if (result.outcome === 'failed') lines.push(...result.problems.map(problem => `failed ${result.id}: ${problem}`))
    if (result.outcome === 'skipped') unknown.set(result.unknown, [...unknown.get(result.unknown) ?? [], result.id])
  }
  for (const [name, ids] of unknown) lines.push(`skipped ${ids.length}, unknown ${name}: ${ids.join(', ')}`)
  const count = (outcome: Result['outcome']) => results.filter(result => result.outcome === outcome).length
  lines.push(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`)
  return lines
}
