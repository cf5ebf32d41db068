import { NotUnderstood, type ConformanceCase } from './case.ts'
import { checkExpectations } from './expectations.ts'
import { describe } from './error-codes.ts'
import { operations } from './ops/index.ts'

export type Result =
  | { id: string, outcome: 'passed' }
  | { id: string, outcome: 'failed', problems: string[] }
  /** `unknown` names what the runner has no translation for. */
  | { id: string, outcome: 'skipped', unknown: string }

/** Drives one case through the package's public face. */
export async function runCase ({ id, given, when, expect }: ConformanceCase): Promise<Result> {
  try {
    const operation = Object.hasOwn(operations, when.op) ? operations[when.op]! : undefined
    if (operation === undefined) throw new NotUnderstood(`op ${when.op}`)
    understand('given', given, operation.given)
    understand('when', when, ['op', ...operation.when ?? []])
    const observed = await operation.run({ given, when })
    const problems = await checkExpectations(observed, expect)
    return problems.length === 0 ? { id, outcome: 'passed' } : { id, outcome: 'failed', problems }
  } catch (error) {
    if (error instanceof NotUnderstood) return { id, outcome: 'skipped', unknown: error.message }
    return { id, outcome: 'failed', problems: [describe(error)] }
  }
}

/** One after the other: some change the clock or the environment while they run. */
export async function runCases (cases: readonly ConformanceCase[]): Promise<Result[]> {
  const results: Result[] = []
  for (const one of cases) results.push(await runCase(one))
  return results
}

// What a case says is never ignored: it might be the very point of it.
function understand (part: string, members: object, known: readonly string[]): void {
  const unknown = Object.keys(members).find(key => !known.includes(key))
  if (unknown !== undefined) throw new NotUnderstood(`${part}.${unknown}`)
}
