import type { TokenSet } from '../../lib/index.ts'
import { checkError, describe } from './error-codes.ts'
import { NotUnderstood, type Members } from './case.ts'
import { difference, hasAll, show } from './matches.ts'
import type { Observation } from './observation.ts'
import { tokenMembers } from './token-members.ts'
import { checkUrl, isUrlExpectation } from './url-expectations.ts'
import { checkRequest, isWireExpectation } from './wire-expectations.ts'

type Problem = string | undefined
type Check = (observed: Observation, expected: any) => Problem | string[] | Promise<Problem>

/** Members of `expect` → what they mean. Each takes what it needs from the observation, or says that it is not there. */
const CHECKS: Record<string, Check> = {
  error: ({ error }, expected) => checkError(error, expected),
  ok: ({ error, facts }, expected) => difference('ok', error === undefined && facts?.ok !== false, expected),
  error_lacks_description: ({ error }, expected) => difference('error_lacks_description', (error as { oauthErrorDescription?: string }).oauthErrorDescription === undefined, expected),

  token: (observed, expected) => difference('token', tokenMembers(tokensOf(observed)), expected, hasAll),
  token_lacks: (observed, names: string[]) => names.map(name => tokenMembers(tokensOf(observed))[name] === undefined ? '' : `the token has ${name}`).find(Boolean),
  scope: (observed, expected) => difference('scope', [...tokensOf(observed).scope].sort(), [...expected].sort()),
  expired: ({ isExpired, facts }, expected) => isExpired === undefined ? factIs('expired', facts, expected) : isExpired().then(actual => difference('expired', actual, expected)),
  usable_as_bearer: ({ isUsable }, expected) => needed('usable_as_bearer', isUsable)().then(actual => difference('usable_as_bearer', actual, expected)),
  scope_changed: ({ session }, expected) => difference('scope_changed', needed('scope_changed', session).scopeChange !== undefined, expected),
  scope_event: ({ session }, expected) => difference('scope_event', needed('scope_event', session).scopeChange, expected, hasAll),
  authorized: ({ session }, expected) => difference('authorized', needed('authorized', session).authorized, expected),
  session_token: ({ session }, expected) => difference('session_token', storedOf(needed('session_token', session).tokens), expected, hasAll),
  session_token_unset: ({ session }, expected) => difference('session_token_unset', needed('session_token_unset', session).tokens === undefined, expected),

  saved: ({ saved }, expected: Members[]) => difference('saved', needed('saved', saved).map(({ tokens }) => tokenMembers(tokens)), expected, listOf(hasAll)),
  updater_args: ({ saved }, expected) => difference('updater_args', updaterArguments(needed('updater_args', saved)), withoutSentences(expected), hasAll),
  updater_awaited_before_api_request: ({ saved }, expected) => difference('updater_awaited_before_api_request', needed('saved', saved).length > 0 && saved!.every(({ sent }) => sent.before === sent.after), expected),

  wire: ({ wire, ...context }, expected: Members[]) => {
    const requests = needed('wire', wire)
    if (requests.length !== expected.length) return `${requests.length} requests went out, not ${expected.length}: ${requests.map(({ method, url }) => `${method} ${url}`).join(', ')}`
    return expected.flatMap((request, index) => checkRequest(requests[index]!, request, context).map(problem => `request ${index + 1}: ${problem}`))
  },
  wire_last: ({ wire, ...context }, expected) => {
    const last = needed('wire_last', wire).at(-1)
    return last === undefined ? 'no request went out' : checkRequest(last, expected, context)
  },
  network_requests: ({ wire, facts }, expected) => wire === undefined ? factIs('network_requests', facts, expected) : difference('network_requests', wire.length, expected),
  network_requests_at_most: ({ wire }, expected) => needed('network_requests_at_most', wire).length <= expected ? undefined : `${wire!.length} requests went out, more than ${expected}`,

  matches: ({ facts }, pattern) => {
    const text = needed('matches', facts?.text)
    return new RegExp(pattern).test(String(text)) ? undefined : `${show(text)} does not match ${pattern}`
  },
  code: ({ params }, expected) => difference('code', needed('code', params).get('code'), expected),
  params: ({ params }, expected) => difference('params', Object.fromEntries(needed('params', params)), expected, hasAll)
}

/** Something is not there at all, so there is nothing to compare. */
class Missing extends Error {}

/** What a case's outcome lacks. Resolves to nothing where it is all as expected. */
export async function checkExpectations (observed: Observation, expect: Members): Promise<string[]> {
  const problems: string[] = []
  if (observed.error !== undefined && expect.error === undefined) return [`failed with ${describe(observed.error)}`]
  for (const [key, expected] of Object.entries(expect)) {
    try {
      problems.push(...[await check(key, observed, expected) ?? []].flat())
    } catch (error) {
      if (!(error instanceof Missing)) throw error
      problems.push(`${key}: ${error.message}`)
    }
  }
  return problems
}

function check (key: string, observed: Observation, expected: unknown): ReturnType<Check> {
  if (CHECKS[key] !== undefined) return CHECKS[key](observed, expected)
  if (observed.urls !== undefined && isUrlExpectation(key)) return checkUrl(key, observed.urls, expected)
  // What the cases write beside `expect.wire` in place of it is about the last request.
  if (observed.wire !== undefined && isWireExpectation(key)) return CHECKS.wire_last!(observed, { [key]: expected })
  return factIs(key, observed.facts, expected)
}

function factIs (key: string, facts: Record<string, unknown> | undefined, expected: unknown): Problem {
  if (facts === undefined || !Object.hasOwn(facts, key)) throw new NotUnderstood(`expect.${key}`)
  // A sentence names every outcome that is fine.
  if (typeof expected === 'string' && typeof facts[key] === 'string') return difference(key, facts[key], expected, (actual: string, sentence: string) => sentence.includes(actual))
  return difference(key, facts[key], expected, hasAll)
}

function needed<T> (key: string, value: T | undefined): T {
  if (value === undefined) throw new NotUnderstood(`expect.${key}`)
  return value
}

function tokensOf (observed: Observation) {
  // An error may carry the set that came in its place.
  const carried = (observed.error as { tokens?: TokenSet } | undefined)?.tokens
  const tokens = observed.tokens ?? carried ?? observed.session?.tokens
  if (tokens !== undefined) return tokens
  if (observed.session === undefined) throw new NotUnderstood('expect.token')
  throw new Missing('there is no token')
}

const storedOf = (tokens: TokenSet | undefined) => tokens === undefined ? null : tokenMembers(tokens)

const listOf = (same: (actual: unknown, expected: unknown) => boolean) => (actual: unknown[], expected: unknown[]) =>
  actual.length === expected.length && expected.every((item, index) => same(actual[index], item))

/** What the updater was last told, in the words of the cases. */
function updaterArguments (saved: NonNullable<Observation['saved']>): Members {
  const last = saved.at(-1)
  if (last === undefined) return {}
  const { tokens, event: { previous, provider, user } } = last
  return {
    token: tokenMembers(tokens),
    previous_refresh_token: previous?.refreshToken,
    previous_access_token: previous?.accessToken,
    ...(provider !== '' && user !== undefined && { owner: true })
  }
}

/** `owner` is a sentence: what counts is that the updater can tell whose tokens they are. */
function withoutSentences ({ owner, ...expected }: Members): Members {
  return owner === undefined ? expected : { ...expected, owner: true }
}
