import { InvalidOptionsError } from '../errors.ts'
import { parseScope } from '../oauth/token-set.ts'
import { unknownOption } from '../providers/presets/unknown-option.ts'
import { isObject } from '../util/is-object.ts'
import { shown } from '../util/shown.ts'
import type { LoginOptions } from './login.ts'

const isList = (value: unknown) => parseScope(value) !== undefined
const LIST = 'a list of strings or one string with spaces'

type Shape = [fits: (value: unknown) => boolean, wanted: string]
/**
 * All options; with a shape those that would have no effect in another one: a login would be let through that lacks
 * what was asked for.
 */
const SHAPES: { [Name in keyof Required<LoginOptions>]: Shape | null } = {
  provider: null,
  returnTo: null,
  scope: [isList, LIST],
  params: [isObject, 'an object of parameters, or URLSearchParams'],
  authorizationDetails: null,
  prompt: null,
  maxAge: [value => Number.isSafeInteger(value) && value as number >= 0, 'a whole number of seconds'],
  acrValues: [isList, LIST],
  link: [value => typeof value === 'boolean', 'true or false'],
  display: null
}

/**
 * Checks what the app asks of one login.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkLoginOptions (options: LoginOptions): void {
  if (!isObject(options)) throw new InvalidOptionsError(`the options of a login are ${shown(options)}; write an object`)
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(SHAPES, name)) {
      const message = `the options of a login: ${name} ${unknownOption(name, Object.keys(SHAPES))}`
      throw new InvalidOptionsError(message, { reason: 'unknown_option' })
    }
    const shape = SHAPES[name as keyof LoginOptions]
    if (value === undefined || shape === null || shape[0](value)) continue
    const message = `the option "${name}" of a login is ${shown(value)}; write ${shape[1]}`
    throw new InvalidOptionsError(message, { reason: 'invalid_option' })
  }
}
