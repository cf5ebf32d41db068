import { InvalidOptionsError } from '../errors.ts'
import { isObject } from './is-object.ts'
import { shown } from './shown.ts'

/**
 * The options of a method: none if they are left out or null.
 * @param method its name, for the error
 * @throws FST_OAUTH_INVALID_OPTIONS if they are no object
 */
export function optionsOf<Options extends object> (method: string, options: Options | null | undefined): Options {
  if (options === undefined || options === null) return {} as Options
  if (isObject(options)) return options
  throw new InvalidOptionsError(`the options of ${method}() are ${shown(options)}; write an object`, {
    reason: 'invalid_option'
  })
}
