import type { PluginOptions, RouteOptions } from '../options.ts'
import type { OptionChecker } from '../providers/option-checker.ts'
import { shown } from '../util/shown.ts'
import { encodePath, joinPaths } from '../util/url-paths.ts'
import type { HostApp, ResolvedRoutes } from './configuration.ts'

const ROUTES: ResolvedRoutes = {
  login: '/login',
  callback: '/login/:provider/callback',
  logout: '/logout',
  loggedOut: '/logout/callback',
  backchannelLogout: '/login/:provider/backchannel-logout'
}

/** A path of the options, as a URL has it and without a slash at its end; empty if it is none, which is reported. */
export function checkPath (name: string, path: unknown, check: OptionChecker): string {
  if (typeof path === 'string' && (path === '' || /^\/[^?#\s]*$/.test(path))) {
    return encodePath(path.replace(/\/+$/, ''))
  }
  check.add(name, `must be a path that starts with "/", not ${shown(path)}`)
  return ''
}

/**
 * Checks the paths of the routes and adds the defaults.
 * @param mount everything before a route's own path
 */
export function checkRoutes (
  routes: PluginOptions['routes'],
  mount: string,
  providerCount: number,
  check: OptionChecker
): ResolvedRoutes | false {
  if (routes === false) return false
  if (routes !== undefined && check.object('routes', routes) === undefined) return false
  const names = [...Object.keys(ROUTES), 'session'] as (keyof RouteOptions)[]
  check.known('routes', routes, names)
  const resolved = { ...ROUTES }
  for (const name of names) {
    const given = routes?.[name]
    if (given === undefined) continue
    resolved[name] = checkPath(`routes.${name}`, given, check)
    if (mount === '' && typeof given === 'string' && /^\/*$/.test(given)) {
      const example = name === 'session' ? '/session' : ROUTES[name]
      check.add(`routes.${name}`, `must be a path of its own, such as "${example}": "/" is the app's start page`)
    }
  }
  const ofProviders = [['callback', 'redirect URI'], ['backchannelLogout', 'back-channel logout URI']] as const
  for (const [name, what] of ofProviders) {
    if (providerCount <= 1 || resolved[name].includes(':provider')) continue
    check.add(
      `routes.${name}`, `must hold ":provider" where there are several providers, so that each has a ${what} of its own`
    )
  }
  return Object.freeze(resolved)
}

/** Finds what would make @fastify/session store nothing, without an error. */
export function checkSessionCookie (
  routes: ResolvedRoutes,
  mount: string,
  baseUrl: URL | undefined,
  { cookie }: HostApp,
  check: OptionChecker
): void {
  if (cookie === undefined) return
  if (cookie.secure === true && baseUrl?.protocol === 'http:') {
    check.add(
      'baseUrl',
      "is http, and the session cookie is `secure`: no login would ever be kept; set the session's cookie.secure " +
        "to 'auto' for development, or serve the app over https"
    )
  }
  for (const name of ['login', 'callback', 'logout', 'loggedOut', 'session'] as const) {
    const route = routes[name]
    if (route === undefined) continue
    const path = joinPaths(mount, route)
    if (!coversPath(cookie.path, path)) {
      check.add(
        `routes.${name}`,
        `is ${path}, which the session cookie's path ${cookie.path} does not cover; mount it below that path, or ` +
          'widen the session\'s cookie.path'
      )
    }
  }
}

function coversPath (cookiePath: string, path: string): boolean {
  return path === cookiePath || path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`)
}
