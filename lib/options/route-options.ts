import { InvalidOptionsError } from '../errors.ts'
import type { OwnRouteOptions, PluginOptions, RouteName } from '../options.ts'
import { OptionChecker } from '../providers/option-checker.ts'
import type { Configuration } from './configuration.ts'

const ROUTE_OPTIONS = ['config', 'schema', 'logLevel', 'onRequest', 'constraints']

/** Checks what the app adds to the plugin's routes. @param path its place in the options, for the messages */
export function checkRouteOptions (given: unknown, check: OptionChecker, path: string): void {
  if (given === undefined || check.object(path, given) === undefined) return
  const { config, schema, logLevel, onRequest, constraints } = given as OwnRouteOptions
  check.known(path, given as object, ROUTE_OPTIONS)
  for (const [name, value] of Object.entries({ config, schema, constraints })) {
    if (value !== undefined) check.object(`${path}.${name}`, value)
  }
  check.type(`${path}.logLevel`, logLevel, 'string')
  const isList = Array.isArray(onRequest)
  for (const hook of [onRequest].flat()) check.type(`${path}.onRequest`, hook, 'function', isList)
}

function asked (ask: (route: RouteName) => unknown, route: RouteName): OwnRouteOptions | undefined {
  const path = `routeOptions('${route}')`
  const check = new OptionChecker()
  let options: unknown
  try {
    options = ask(route)
  } catch (cause) {
    throw new InvalidOptionsError(`${path} threw an error; what it throws is this error's cause`, { cause })
  }
  checkRouteOptions(options, check, path)
  check.report()
  return options as OwnRouteOptions | undefined
}

/** What the app adds to a route: a copy each time, since Fastify and its plugins write into it. */
export function routeOptionsOf (given: PluginOptions['routeOptions']): Configuration['routeOptions'] {
  return (route) => {
    const options = typeof given === 'function' ? asked(given, route) : given
    return { ...options, schema: { ...options?.schema ?? { hide: true } }, config: { ...options?.config } }
  }
}
