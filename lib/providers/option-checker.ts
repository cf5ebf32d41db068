import { InvalidOptionsError } from '../errors.ts'
import { isSecureUrl } from '../oauth/urls.ts'
import { isObject } from '../util/is-object.ts'
import { isPromise } from '../util/is-promise.ts'
import { isTextList } from '../util/is-text.ts'
import { shown } from '../util/shown.ts'
import { unknownOption } from './presets/unknown-option.ts'

/** What the message says of an option that is written and has no value. */
const UNSET = 'is undefined: an environment variable that is not set?'

/** Collects every mistake in the options, so that one error can name them all. */
export class OptionChecker {
  readonly #problems: string[] = []
  /** Whether the app has a dispatcher of its own, which no certificate can be added to. */
  hasDispatcher = false

  /** @param problem what follows the path in the message */
  add (path: string, problem: string): void { this.#problems.push(`${path} ${problem}`) }

  /**
   * Reports members that are not among the names.
   * @param ignored names that are no options of the plugin's, and no mistakes either
   */
  known (path: string, value: object | undefined, names: readonly string[], ignored?: ReadonlySet<string>): void {
    if (typeof value !== 'object' || value === null) return
    for (const name of Object.keys(value)) {
      if (!names.includes(name) && ignored?.has(name) !== true) this.add(join(path, name), unknownOption(name, names))
    }
  }

  /**
   * Reports a required option that is missing.
   * @param options the options that lack it: an option without a value gets another message than one left out
   * @param remedy what to write
   */
  missing (path: string, options: object | undefined, remedy: string): void {
    const name = path.slice(path.lastIndexOf('.') + 1)
    this.add(path, `is missing${isUnset(options, name) ? ` (it ${UNSET})` : ''}; ${remedy}`)
  }

  object<T> (path: string, value: T): T | undefined {
    const isLate = isPromise(value)
    if (!isLate && isObject(value)) return value
    this.add(path, isLate ? 'is a promise, which is not awaited' : mustBe('an object', value))
  }

  type (path: string, value: unknown, type: string, required = false): void {
    // eslint-disable-next-line valid-typeof
    if ((value !== undefined || required) && typeof value !== type) {
      this.add(path, mustBe(`a ${type}`, value))
    }
  }

  number (path: string, value: unknown, min: number, max = Infinity): void {
    if (value === undefined) return
    if (typeof value !== 'number' || !Number.isFinite(value) || value < min) {
      this.add(path, `must be a number of at least ${min}, not ${shown(value)}`)
    } else if (value > max) this.add(path, `must be a number of at most ${max}, not ${value}`)
  }

  strings (path: string, value: readonly string[] | undefined): string[] | undefined {
    if (value === undefined) return undefined
    if (!Array.isArray(value)) return this.add(path, 'must be a list of strings') as undefined
    // `includes` and not `every`: it sees holes too.
    if (value.includes(undefined)) return this.unset(path, value) as undefined
    if (isTextList(value)) return [...value]
    this.add(path, 'must be a list of strings')
  }

  /** Reports the items of a list that have no value. */
  unset (path: string, list: readonly unknown[]): void {
    for (const [index, item] of list.entries()) {
      if (item === undefined) this.add(`${path}[${index}]`, `${UNSET} Write its value, or take it out`)
    }
  }

  oneOf (path: string, value: unknown, values: readonly string[]): void {
    if (value !== undefined && !values.includes(value as string)) {
      this.add(path, `is ${shown(value)}; write one of ${values.join(', ')}`)
    }
  }

  url (path: string, value: unknown, allowInsecure: boolean): URL | undefined {
    if (value === undefined) return undefined
    const url = typeof value === 'string' ? URL.parse?.(value) ?? tryUrl(value) : undefined
    if (url === undefined || !/^https?:$/.test(url.protocol)) this.add(path, 'must be an absolute http(s) URL')
    else if (url.username !== '' || url.password !== '') this.add(path, 'must not hold credentials')
    else if (!isSecureUrl(url) && !allowInsecure) {
      this.add(path, 'is plain http; write https, or set allowInsecureRequests for a provider inside your own network')
    } else return url
  }

  /** An undici Dispatcher whose handlers are those of undici 7 and 8; an older one would fail each call. */
  dispatcher (path: string, value: unknown): void {
    if (value === undefined) return
    this.hasDispatcher = true
    if (this.object(path, value) === undefined) return
    this.type(`${path}.dispatch`, (value as { dispatch?: unknown }).dispatch, 'function', true)
    if (isOldDispatcher(value as object)) {
      this.add(
        path,
        'is of undici 6 or older (the undici inside Node may be one, too), which cannot carry these calls; give ' +
          'one of undici 7 or 8'
      )
    }
  }

  /** Whether nothing has been found so far. */
  get isValid (): boolean { return this.#problems.length === 0 }

  /** @param heading what comes before the list of mistakes */
  report (heading = 'fastify-oauth-session cannot start'): void {
    if (this.#problems.length === 0) return
    throw new InvalidOptionsError(
      `${heading}:\n${this.#problems.map(problem => `- ${problem}`).join('\n')}`
    )
  }
}

const join = (path: string, name: string) => (path === '' ? name : `${path}.${name}`)
const kind = (value: unknown) => value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value
const mustBe = (wanted: string, value: unknown) =>
  value === undefined ? `is missing; it must be ${wanted}` : `must be ${wanted}, not ${kind(value)}`

/** Whether an option is written and has no value: often a variable of the environment that is not set. */
export function isUnset (options: object | undefined, name: string): boolean {
  return (
    options !== undefined &&
    options !== null &&
    name in options &&
    (options as Record<string, unknown>)[name] === undefined
  )
}

// A dispatcher does not have its version. Up to undici 6 a base class has `interceptors`, and `compose` makes another
// emitter; since undici 7 it makes a proxy of the same one.
function isOldDispatcher (dispatcher: { compose?: unknown, _events?: unknown }): boolean {
  if ('interceptors' in dispatcher) return true
  if (typeof dispatcher.compose !== 'function') return false
  try {
    const composed = dispatcher.compose(
      (dispatch: Function) => (options: unknown, handler: unknown) => dispatch(options, handler)
    )
    return composed._events !== dispatcher._events
  } catch {
    return false
  }
}

/** A URL, or undefined if it is none. */
export function tryUrl (value: string): URL | undefined {
  return URL.canParse(value) ? new URL(value) : undefined
}
