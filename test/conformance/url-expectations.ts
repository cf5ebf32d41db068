import type { Members } from './case.ts'
import { difference, hasAll, show } from './matches.ts'
import { pairs } from './wire-expectations.ts'

type Check = (url: URL, expected: any, urls: readonly URL[], text: string) => string | undefined

const single = (url: URL): Members => Object.fromEntries([...new Set(url.searchParams.keys())].map((name) => {
  const values = url.searchParams.getAll(name)
  return [name, values.length === 1 ? values[0] : values]
}))

// A space may be written in two ways.
const spaced = (text: string) => text.replaceAll('+', '%20')

/** Members of `expect` that speak of the URL a login starts with; where several logins were begun, of the first. */
const CHECKS: Record<string, Check> = {
  query: (url, expected) => difference('query', [...url.searchParams], expected),
  query_has: (url, expected) => difference('query', single(url), expected, hasAll),
  query_lacks: (url, names: string[]) =>
    names.map(name => (url.searchParams.has(name) ? `the query has ${name}` : '')).find(Boolean),
  query_pairs: (url, expected) => pairs('query_pairs', url.searchParams, expected),
  query_matches: (url, expected: Record<string, string>) =>
    Object.entries(expected)
      .map(([name, pattern]) => matches(name, url.searchParams.get(name), pattern))
      .find(problem => problem !== undefined),
  raw_contains: (_url, expected, _urls, text) =>
    spaced(text).includes(spaced(expected)) ? undefined : `the URL is ${text}, without ${expected}`,
  raw_lacks: (_url, unwanted, _urls, text) =>
    spaced(text).includes(spaced(unwanted)) ? `the URL is ${text}, with ${unwanted}` : undefined,
  url_prefix: (_url, expected, _urls, text) =>
    text.startsWith(expected) ? undefined : `the URL is ${text}, and begins otherwise than ${expected}`,
  state_matches: (url, pattern) => matches('state', url.searchParams.get('state'), pattern),
  state_differs_between_calls: (_url, expected, urls) => {
    const states = urls.map(({ searchParams }) => searchParams.get('state'))
    return difference('state_differs_between_calls', new Set(states).size === states.length, expected)
  }
}

/** Whether a member of `expect` speaks of a login's URL. */
export const isUrlExpectation = (key: string) => Object.hasOwn(CHECKS, key)

/** What is wrong with the URLs that logins start with. */
export function checkUrl (key: string, urls: readonly string[], expected: unknown): string | undefined {
  const parsed = urls.map(url => new URL(url))
  return parsed[0] === undefined ? 'no login was begun' : CHECKS[key]!(parsed[0], expected, parsed, urls[0]!)
}

function matches (what: string, value: string | null, pattern: string): string | undefined {
  return value !== null && new RegExp(pattern).test(value)
    ? undefined
    : `${what} is ${show(value)}, which does not match ${pattern}`
}
