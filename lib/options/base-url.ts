import { InvalidOptionsError } from '../errors.ts'
import { isSecureUrl } from '../oauth/urls.ts'
import type { PluginOptions } from '../options.ts'
import { type OptionChecker, tryUrl } from '../providers/option-checker.ts'
import { isPromise } from '../util/is-promise.ts'

const BASE_URL_REMEDY = "write the app's public URL, such as 'https://app.example.com'"

/** A `baseUrl` that is text; undefined for a function, which is asked at first use. */
export function checkBaseUrl (options: PluginOptions | undefined, check: OptionChecker): URL | undefined {
  const value = options?.baseUrl as unknown
  if (typeof value === 'function') return undefined
  if (value === undefined) return check.missing('baseUrl', options, BASE_URL_REMEDY) as undefined
  const problem = baseUrlProblem(value)
  if (problem === undefined) return new URL(value as string)
  check.add('baseUrl', problem)
}

function baseUrlProblem (value: unknown): string | undefined {
  if (value === undefined) return `is missing; ${BASE_URL_REMEDY}`
  if (isPromise(value)) return `is a promise, which is not awaited; ${BASE_URL_REMEDY}`
  const url = typeof value === 'string' ? tryUrl(value) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) return `is no absolute http(s) URL; ${BASE_URL_REMEDY}`
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    return `must be origin and path alone; ${BASE_URL_REMEDY}`
  }
}

/** What a `baseUrl` function returns before its first use; undefined if it does not know yet. */
export function peekBaseUrl (baseUrl: PluginOptions['baseUrl']): URL | undefined {
  try {
    const value = typeof baseUrl === 'function' ? baseUrl() : baseUrl
    const url = baseUrlProblem(value) === undefined ? new URL(value) : undefined
    return url?.port === '0' ? undefined : url
  } catch {
    return undefined
  }
}

/** Calls the function once, at first use: an app that listens on port 0 knows its URL only then. */
export function lateBaseUrl (ask: () => string, onKnown: () => void): () => URL {
  let known: URL | undefined
  return () => {
    if (known !== undefined) return known
    const value = ask()
    const problem = baseUrlProblem(value)
    if (problem !== undefined) throw new InvalidOptionsError(`what the baseUrl function returned ${problem}`)
    known = new URL(value)
    onKnown()
    return known
  }
}

// Browsers keep a Secure cookie that came over http from this machine alone.
/** What is wrong with `responseMode: 'form_post'` at this URL. */
export function postedModeProblem (baseUrl: URL): string | undefined {
  if (isSecureUrl(baseUrl)) return undefined
  return 'makes the browser post the response, and baseUrl is http: the cookie of the login would need https; serve ' +
    "the app over https, or write responseMode: 'query'"
}

/**
 * Checks that a response can be posted to a `baseUrl` that was known at first use alone.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkPostedMode (baseUrl: URL): void {
  const problem = postedModeProblem(baseUrl)
  if (problem !== undefined) throw new InvalidOptionsError(`responseMode ${problem}`, { reason: 'configuration' })
}
