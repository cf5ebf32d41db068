import { isSecureUrl } from '../protocol/urls.ts'
import { InvalidOptionsError } from '../errors.ts'

/** Collects every mistake in the options, so that one error can name them all. */
export class OptionChecker {
  readonly #problems: string[] = []

  add (path: string, problem: string): void { this.#problems.push(`${path} ${problem}`) }

  known (path: string, value: object | undefined, names: readonly string[]): void {
    for (const name of Object.keys(value ?? {})) {
      if (names.includes(name)) continue
      const near = names.find(item => item.toLowerCase() === name.toLowerCase().replaceAll('_', ''))
      this.add(join(path, name), near === undefined ? 'is no option; take it out' : `is no option; write ${near}`)
    }
  }

  object<T> (path: string, value: T): T | undefined {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
    this.add(path, `must be an object, not ${kind(value)}`)
  }

  type (path: string, value: unknown, type: string, required = false): void {
    // eslint-disable-next-line valid-typeof
    if ((value !== undefined || required) && typeof value !== type) this.add(path, `must be a ${type}, not ${kind(value)}`)
  }

  number (path: string, value: unknown, min: number, max = Infinity): void {
    if (value === undefined) return
    if (typeof value !== 'number' || !Number.isFinite(value) || value < min) this.add(path, `must be a number of at least ${min}, not ${String(value)}`)
    else if (value > max) this.add(path, `must be a number of at most ${max}, not ${value}`)
  }

  strings (path: string, value: readonly string[] | undefined): string[] | undefined {
    if (value === undefined) return undefined
    if (Array.isArray(value) && value.every(item => typeof item === 'string')) return [...value]
    this.add(path, 'must be a list of strings')
  }

  oneOf (path: string, value: unknown, values: readonly string[]): void {
    if (value !== undefined && !values.includes(value as string)) this.add(path, `is ${JSON.stringify(value)}; write one of ${values.join(', ')}`)
  }

  url (path: string, value: unknown, allowInsecure: boolean): URL | undefined {
    if (value === undefined) return undefined
    const url = typeof value === 'string' ? URL.parse?.(value) ?? tryUrl(value) : undefined
    if (url === undefined || !/^https?:$/.test(url.protocol)) this.add(path, 'must be an absolute http(s) URL')
    else if (url.username !== '' || url.password !== '') this.add(path, 'must not hold credentials')
    else if (!isSecureUrl(url) && !allowInsecure) this.add(path, 'is plain http; write https, or set allowInsecureRequests for a provider inside your own network')
    else return url
  }

  /** Whether nothing has been found so far. */
  get fine (): boolean { return this.#problems.length === 0 }

  report (): void {
    if (this.#problems.length === 0) return
    throw new InvalidOptionsError(`fastify-oauth-session cannot start:\n${this.#problems.map(problem => `- ${problem}`).join('\n')}`)
  }
}

const join = (path: string, name: string) => path === '' ? name : `${path}.${name}`
const kind = (value: unknown) => value === undefined ? 'missing' : value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value

/** A URL, or undefined where it is none. */
export function tryUrl (value: string): URL | undefined {
  return URL.canParse(value) ? new URL(value) : undefined
}
