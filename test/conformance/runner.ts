import { NotUnderstood, type ConformanceCase, type Members } from './case.ts'
import { checkExpectations } from './expectations.ts'
import { describe } from './error-codes.ts'
import { operations } from './ops/index.ts'

export type Result =
  | { id: string, outcome: 'passed' }
  | { id: string, outcome: 'failed', problems: string[] }
  /** `unknown` names what the runner has no translation for. */
  | { id: string, outcome: 'skipped', unknown: string }

/** Drives one case through the package's public face. */
export async function runCase ({ id, given, when, expect, ...rest }: ConformanceCase): Promise<Result> {
  try {
    const operation = Object.hasOwn(operations, when.op) ? operations[when.op]! : undefined
    if (operation === undefined) throw new NotUnderstood(`op ${when.op}`)
    const parts = inTheirPlaces({ given, when }, operation.given, ['op', ...operation.when ?? []])
    understand([
      ...unknownIn('', Object.keys(rest), CASE_MEMBERS),
      ...unknownIn('given.', Object.keys(parts.given), operation.given),
      ...unknownIn('when.', Object.keys(parts.when), ['op', ...operation.when ?? []]),
      ...unknownInAnswers({ ...parts.given, ...parts.when })
    ])
    const observed = await operation.run(parts)
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

// Whether something is given or part of what is done is a matter of taste: what only one of the two knows belongs
// there.
function inTheirPlaces (
  { given, when }: Pick<ConformanceCase, 'given' | 'when'>,
  knownGiven: readonly string[],
  knownWhen: readonly string[]
) {
  const parts = { given: { ...given }, when: { ...when } }
  const move = (from: Members, known: readonly string[], to: Members, wanted: readonly string[]) => {
    for (const key of Object.keys(from)) {
      if (known.includes(key) || !wanted.includes(key) || Object.hasOwn(to, key)) continue
      to[key] = from[key]
      delete from[key]
    }
  }
  move(parts.given, knownGiven, parts.when, knownWhen)
  move(parts.when, knownWhen, parts.given, knownGiven)
  return parts
}

/** What a case may say of itself. */
const CASE_MEMBERS = ['source', 'area', 'tier', 'stance', 'note', 'reference']
/** Answers that a case describes, and what they may have. */
const ANSWERS = ['token_response', 'api_response']
const ANSWER_MEMBERS = ['status', 'content_type', 'headers', 'body']

// What a case says is never ignored: it might be the very point of it.
function understand (unknown: string[]): void {
  if (unknown.length > 0) throw new NotUnderstood(unknown.join(', '))
}

function unknownIn (part: string, names: string[], known: readonly string[]): string[] {
  return names.filter(name => !known.includes(name)).map(name => part + name)
}

function unknownInAnswers (members: Members): string[] {
  return ANSWERS.flatMap(name => [members[name] ?? []].flat().flatMap((answer: unknown) => {
    const isObject = typeof answer === 'object' && answer !== null
    return isObject ? unknownIn(`${name}.`, Object.keys(answer), ANSWER_MEMBERS) : []
  }))
}
