import type { TokenSet } from '../../lib/index.ts'
import { checkError, describe, isErrorExpected } from './error-codes.ts'
import { NotUnderstood, type Members } from './case.ts'
import { difference, hasAll, show } from './matches.ts'
import type { Observation } from './observation.ts'
import { tokenDifference, tokenMembers } from './token-members.ts'
import { checkUrl, isUrlExpectation } from './url-expectations.ts'
import { checkRequest, isWireExpectation } from './wire-expectations.ts'

type Problem = string | undefined
type Check = (observed: Observation, expected: any) => Problem | string[] | Promise<Problem>

/**
 * Members of `expect` → what they mean. Each takes what it needs from the observation, or says that it is not there.
 */
const CHECKS: Record<string, Check> = {
  error: ({ error }, expected) => checkError(error, expected),
  ok: ({ error, facts }, expected) => difference('ok', error === undefined && facts?.ok !== false, expected),
  error_lacks_description: ({ error }, expected) =>
    difference(
      'error_lacks_description',
      (error as { oauthErrorDescription?: string }).oauthErrorDescription === undefined,
      expected
    ),

  token: (observed, expected) => tokenDifference('token', tokensOf(observed), expected),
  token_lacks: (observed, names: string[]) => lacks('the token', tokensOf(observed), names),
  scope: (observed, expected) => difference('scope', [...tokensOf(observed).scope].sort(), [...expected].sort()),
  expired: ({ isExpired, facts }, expected) =>
    isExpired === undefined
      ? factIs('expired', facts, expected)
      : isExpired().then(actual => difference('expired', actual, expected)),
  usable_as_bearer: ({ isUsable }, expected) =>
    needed('usable_as_bearer', isUsable)().then(actual => difference('usable_as_bearer', actual, expected)),
  scope_changed: ({ session }, expected) =>
    difference('scope_changed', needed('scope_changed', session).scopeChange !== undefined, expected),
  scope_event: ({ session }, expected) =>
    difference('scope_event', needed('scope_event', session).scopeChange, expected, hasAll),
  authorized: ({ session }, expected) => difference('authorized', needed('authorized', session).authorized, expected),
  // A set that came beside an error is stored, too: pending in the record until the app saves it.
  session_token: (observed, expected) =>
    tokenDifference('session_token', storedOf('session_token', observed), expected),
  session_token_lacks: (observed, names: string[]) =>
    lacks('the stored token', storedOf('session_token_lacks', observed), names),
  session_token_unset: ({ session }, expected) =>
    difference('session_token_unset', needed('session_token_unset', session).storedTokens === undefined, expected),

  saved: ({ saved }, expected: Members[]) => {
    const sets = needed('saved', saved)
    if (sets.length !== expected.length) return `${sets.length} sets were saved, not ${expected.length}`
    return expected.flatMap((set, index) => tokenDifference(`saved ${index + 1}`, sets[index]!.tokens, set) ?? [])
  },
  updater_args: ({ saved }, expected) =>
    difference('updater_args', updaterArguments(needed('updater_args', saved)), withoutSentences(expected), hasAll),
  updater_awaited_before_api_request: ({ saved }, expected) =>
    difference(
      'updater_awaited_before_api_request',
      needed('saved', saved).length > 0 && saved!.every(({ sent }) => sent.before === sent.after),
      expected
    ),

  wire: ({ wire, ...context }, expected: Members[]) => {
    const requests = needed('wire', wire)
    if (requests.length !== expected.length) {
      return `${requests.length} requests went out, not ${expected.length}: ` +
        `${requests.map(({ method, url }) => `${method} ${url}`).join(', ')}`
    }
    return expected.flatMap((request, index) =>
      checkRequest(requests[index]!, request, context).map(problem => `request ${index + 1}: ${problem}`)
    )
  },
  wire_last: ({ wire, ...context }, expected) => {
    const last = needed('wire_last', wire).at(-1)
    return last === undefined ? 'no request went out' : checkRequest(last, expected, context)
  },
  network_requests: ({ wire, facts }, expected) =>
    wire === undefined
      ? factIs('network_requests', facts, expected)
      : difference('network_requests', wire.length, expected),
  network_requests_at_most: ({ wire }, expected) =>
    needed('network_requests_at_most', wire).length <= expected
      ? undefined
      : `${wire!.length} requests went out, more than ${expected}`,

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
  if (observed.error !== undefined && !isFailureExpected(observed, expect)) {
    return [`failed with ${describe(observed.error)}`]
  }
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

// What a browser is answered may tell of the error behind it.
function isFailureExpected ({ facts }: Observation, { error, ok, status }: Members): boolean {
  return isErrorExpected(error) || ok === false || (status >= 400 && facts?.status !== undefined)
}

function check (key: string, observed: Observation, expected: unknown): ReturnType<Check> {
  if (CHECKS[key] !== undefined) return CHECKS[key](observed, expected)
  if (observed.urls !== undefined && isUrlExpectation(key)) return checkUrl(key, observed.urls, expected)
  // What the cases write beside `expect.wire` in place of it is about the last request.
  if (observed.wire !== undefined && isWireExpectation(key)) return CHECKS.wire_last!(observed, { [key]: expected })
  const described = observed.described?.[key]
  if (described !== undefined) return difference(key, described, expected, names)
  return factIs(key, observed.facts, expected)
}

function factIs (key: string, facts: Record<string, unknown> | undefined, expected: unknown): Problem {
  if (facts === undefined || !Object.hasOwn(facts, key)) throw new NotUnderstood(`expect.${key}`)
  return difference(key, facts[key], expected, hasAll)
}

// A sentence names every outcome that is fine: `undefined or a typed configuration error, never a half-built client`.
const names = (actual: string, sentence: unknown) =>
  [String(sentence), ...String(sentence).split(/ or |[,;.:]/)].some(piece => piece.trim() === actual)

function lacks (what: string, tokens: TokenSet | undefined, unwanted: string[]): Problem {
  const members = tokens === undefined ? {} : tokenMembers(tokens)
  return unwanted.map(name => members[name] === undefined ? '' : `${what} has ${name}`).find(Boolean)
}

function needed<T> (key: string, value: T | undefined): T {
  if (value === undefined) throw new NotUnderstood(`expect.${key}`)
  return value
}

/** The set that an error carries which came in its place. */
const carriedBy = ({ error }: Observation) => (error as { tokens?: TokenSet } | undefined)?.tokens

function tokensOf (observed: Observation): TokenSet {
  const tokens = observed.tokens ?? carriedBy(observed) ?? observed.session?.storedTokens
  if (tokens !== undefined) return tokens
  if (observed.session === undefined) throw new NotUnderstood('expect.token')
  throw new Missing('there is no token')
}

const storedOf = (key: string, observed: Observation) =>
  carriedBy(observed) ?? needed(key, observed.session).storedTokens

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
  if (owner === undefined) return expected
  if (typeof owner === 'string' && !/provider|user|session/.test(owner)) {
    throw new NotUnderstood(`expect.updater_args.owner "${owner}"`)
  }
  return { ...expected, owner: true }
}
