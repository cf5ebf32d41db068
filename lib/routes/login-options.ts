import { InvalidOptionsError } from '../errors.ts'
import { parseScope } from '../oauth/token-set.ts'
import { isObject } from '../util/is-object.ts'
import { shown } from '../util/shown.ts'
import type { LoginOptions } from './login.ts'

const isList = (value: unknown) => parseScope(value) !== undefined
const LIST = 'a list of strings or one string with spaces'

type Shape = [fits: (value: unknown) => boolean, wanted: string]
/** Options that would have no effect in another shape: a login would be let through that lacks what was asked for. */
const SHAPES: { [Name in keyof LoginOptions]: Shape } = {
  scope: [isList, LIST],
  acrValues: [isList, LIST],
  maxAge: [value => Number.isSafeInteger(value) && value as number >= 0, 'a whole number of seconds'],
  params: [isObject, 'an object of parameters, or URLSearchParams'],
  link: [value => typeof value === 'boolean', 'true or false']
}

/**
 * Checks what the app asks of one login.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkLoginOptions (options: LoginOptions): void {
  if (!isObject(options)) throw new InvalidOptionsError(`the options of a login are ${shown(options)}; write an object`)
  for (const [name, [fits, wanted]] of Object.entries(SHAPES)) {
    const value = options[name]
    if (value === undefined || fits(value)) continue
    const message = `the option "${name}" of a login is ${shown(value)}; write ${wanted}`
    throw new InvalidOptionsError(message, { reason: 'invalid_option' })
  }
}
