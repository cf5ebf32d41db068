import type { Dispatcher } from 'undici'
import { InvalidOptionsError, type OAuthError } from '../errors.ts'
import { isObject } from '../util/is-object.ts'
import type { CallBody, CallHeaders } from './request-body.ts'

/** Options of one call: undici's, plus `json`. */
export interface CallOptions extends Omit<
  Partial<Dispatcher.RequestOptions>,
  'origin' | 'path' | 'body' | 'headers' | 'method' | 'signal' | 'upgrade' | 'query'
> {
  /** The HTTP method. Default GET. */
  method?: string
  /** A value that is sent as JSON. */
  json?: unknown
  /** A body in place of `json`: a string, bytes, a stream, URLSearchParams or FormData. */
  body?: CallBody
  /** Header fields: an object, a list of pairs, or Headers. An `authorization` is replaced by the token. */
  headers?: CallHeaders
  /** Aborts this call only: a refresh that it waits for continues. */
  signal?: AbortSignal | null
  /** Parameters that are added to the URL's query. */
  query?: Record<string, unknown>
  /** Sends the call without the token. It may then go to any URL. */
  withholdToken?: boolean
  /** The most bytes that `.json()`, `.text()` and `.bytes()` read. Default 16 MiB. */
  maxResponseSize?: number
}

/** Ours, and undici's `RequestOptions`; `retryOptions` is what undici's retry interceptor reads. */
const KNOWN = ['method', 'json', 'body', 'headers', 'signal', 'query', 'withholdToken', 'maxResponseSize', 'opaque',
  'onInfo', 'responseHeaders', 'highWaterMark', 'idempotent', 'blocking', 'typeOfService', 'headersTimeout',
  'bodyTimeout', 'reset', 'throwOnError', 'expectContinue', 'retryOptions']
// These would send the call to another URL than the one that has been checked.
const REFUSED = ['origin', 'path', 'dispatcher', 'upgrade', 'maxRedirections']

const BODY = 'write `json` for JSON, or `body`'
const REDIRECTS = 'calls follow no redirects; use `fetch`'
/** Options of other HTTP clients → what to write. */
const HINTS: Record<string, string> = {
  data: BODY,
  payload: BODY,
  form: 'write `body: new URLSearchParams({ … })`',
  formData: 'write `body` with a FormData',
  files: 'write `body` with a FormData',
  params: 'write `query`',
  qs: 'write `query`',
  search: 'write `query`',
  searchParams: 'write `query`',
  header: 'write `headers`',
  timeout: 'write `signal: AbortSignal.timeout(milliseconds)`',
  auth: 'the token is put in by the plugin; `withholdToken: true` sends an authorization of your own',
  redirect: REDIRECTS,
  maxRedirects: REDIRECTS,
  followRedirect: REDIRECTS,
  allow_redirects: REDIRECTS,
  responseType: 'read the answer with `.json()`, `.text()` or `.bytes()`',
  baseURL: 'relative URLs start at the first of `resourceServers`',
  prefixUrl: 'relative URLs start at the first of `resourceServers`',
  agent: 'give the plugin a `dispatcher`',
  proxy: 'give the plugin a `dispatcher`'
}

type Shape = [fits: (value: unknown) => boolean, wanted: string]
const ANY_SHAPE: Shape = [() => true, '']
/** Options that would be ignored, or fail with an unclear error, in another shape. */
const SHAPES: Record<string, Shape> = {
  query: [
    value => value instanceof URLSearchParams || (isObject(value) && !isBody(value)),
    'an object of parameters, or URLSearchParams'
  ],
  method: [value => typeof value === 'string', 'a string'],
  headers: [value => typeof value === 'object', 'an object of headers'],
  signal: [value => isObject(value) && 'throwIfAborted' in value, 'an AbortSignal'],
  withholdToken: [value => typeof value === 'boolean', 'true or false'],
  maxResponseSize: [value => typeof value === 'number' && value >= 0, 'a number of bytes']
}

/**
 * Refuses options that a call would ignore: of another HTTP client, misspelt ones, a body in place of the options.
 * @param verb the method that the function itself stands for; undefined for `request`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkCallOptions (options: CallOptions, verb: string | undefined, provider: string): void {
  if (typeof options !== 'object' || isBody(options)) {
    throw new InvalidOptionsError(
      `the options of a call are ${kindOf(options)}, not an object; write { body } or { json }`,
      { provider }
    )
  }
  for (const name in options) {
    const value: unknown = options[name as keyof CallOptions]
    if (value === undefined) continue
    if (REFUSED.includes(name)) {
      if (!value) continue
      throw new InvalidOptionsError(
        `a call cannot have the option "${name}", since its URL says where it goes and is checked; take it out`,
        { provider }
      )
    }
    if (!KNOWN.includes(name)) throw unknownOption('a call', name, provider)
    checkShape('a call', name, value, provider)
  }
  const { method } = options
  if (verb !== undefined && method !== undefined && String(method).toUpperCase() !== verb) {
    throw new InvalidOptionsError(`a call by ${verb.toLowerCase()}() cannot have the option "method"; use request()`, {
      provider
    })
  }
}

function checkShape (what: string, name: string, value: unknown, provider: string): void {
  const [fits, wanted] = Object.hasOwn(SHAPES, name) ? SHAPES[name]! : ANY_SHAPE
  if (value === undefined || value === null || fits(value)) return
  const message = `the option "${name}" of ${what} is ${kindOf(value)}; write ${wanted}`
  throw new InvalidOptionsError(message, { provider, reason: 'invalid_option' })
}

/**
 * Options of our own calls, and names for a body, that `fetch` would ignore (the token or an empty body would be sent)
 * → what to write.
 */
const NOT_FETCH: Record<string, string> = {
  withholdToken: 'use `get`, `post` or `request`',
  maxResponseSize: 'use `get`, `post` or `request`',
  json: 'write `body: JSON.stringify(value)` and its content type, or use `post`',
  data: 'write `body`',
  form: HINTS.form!
}

/**
 * Refuses options that `fetch` would ignore with harm. Other unknown members are ignored, as by the standard: client
 * libraries pass them along.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkFetchInit (init: object, provider: string): void {
  const given = init as Record<string, unknown>
  if (given.dispatcher) {
    throw new InvalidOptionsError(
      'a call cannot have the option "dispatcher", which might send the token elsewhere; give it to the plugin',
      { provider }
    )
  }
  for (const name in NOT_FETCH) {
    if (given[name] !== undefined) throw unknownOption('fetch', name, provider, NOT_FETCH[name])
  }
  for (const name of ['method', 'headers', 'signal']) checkShape('fetch', name, given[name], provider)
}

function unknownOption (what: string, name: string, provider: string, hint = hintFor(name)): OAuthError {
  return new InvalidOptionsError(`${what} has no option "${name.slice(0, 40)}"; ${hint}`, {
    provider,
    reason: 'unknown_option'
  })
}

function hintFor (name: string): string {
  if (Object.hasOwn(HINTS, name)) return HINTS[name]!
  const plain = (text: string) => text.toLowerCase().replaceAll(/[_-]/g, '')
  const near = KNOWN.find(known => plain(known) === plain(name))
  if (near !== undefined) return `write \`${near}\``
  return 'what is to be sent goes into `json` or `body`, parameters of the URL into `query`'
}

// Other clients take a body there: `post(url, body)`.
function isBody (options: object): boolean {
  return (
    Symbol.iterator in options ||
    Symbol.asyncIterator in options ||
    options instanceof Blob ||
    options instanceof ArrayBuffer ||
    options instanceof ReadableStream
  )
}

function kindOf (value: unknown): string {
  return typeof value === 'object' ? `a ${value!.constructor?.name ?? 'body'}` : `a ${typeof value}`
}
