import { isPostedMode } from '../oauth/response-mode.ts'
import type { PluginOptions } from '../options.ts'
import type { Pages } from '../pages/pages.ts'
import { checkProviderName, type ProviderConfig, resolveProvider } from '../providers/config.ts'
import { OptionChecker } from '../providers/option-checker.ts'
import * as is from '../providers/option-checks.ts'
import type { ProviderOptions } from '../providers/options.ts'
import { parseEncryptionKeys } from '../tokens/stores/encrypted-store.ts'
import type { TokenStore } from '../tokens/stores/token-store.ts'
import { shown } from '../util/shown.ts'
import { fastifyPath, joinPaths } from '../util/url-paths.ts'
import { checkBaseUrl, lateBaseUrl, postedModeProblem } from './base-url.ts'
import type { Configuration, HostApp } from './configuration.ts'
import { PASSED_ALONG } from './passed-along.ts'
import { checkRouteOptions, routeOptionsOf } from './route-options.ts'
import { checkPath, checkRoutes, checkSessionCookie } from './route-paths.ts'

/** How each option is checked; null if `resolveOptions` completes it as well. */
const OPTIONS: Record<keyof PluginOptions, is.OptionCheck<any> | null> = {
  baseUrl: null,
  providers: null,
  defaultProvider: null,
  prefix: null,
  decorator: null,
  routes: null,
  routeOptions: (check, path, value) => { if (typeof value !== 'function') checkRouteOptions(value, check, path) },
  keepSessionFields: is.list,
  refresh: is.oneOf('auto', 'notify', 'manual'),
  idleTimeout: is.number(1),
  absoluteTimeout: is.number(1),
  tokenStore: is.methods<keyof TokenStore>('get', 'set', 'consume', 'touch', 'delete'),
  tokenCacheMaxAge: is.number(0),
  encryptionKeys: null,
  onLogin: is.func,
  onTokens: is.func,
  onLogout: is.func,
  onError: is.func,
  pages: is.functions<keyof Pages>(
    'chooser', 'error', 'logoutConfirmation', 'loggedOut', 'loginForm', 'onward', 'popup'
  ),
  dispatcher: (check, path, value) => check.dispatcher(path, value)
}

/**
 * Checks and completes the options.
 * @param onBaseUrl called once, when a `baseUrl` that is a function has returned its value
 * @throws FST_OAUTH_INVALID_OPTIONS that lists all mistakes, each with its option's path and what to write instead
 */
export function resolveOptions (
  options: PluginOptions,
  host: HostApp,
  onBaseUrl: () => void = () => {}
): Configuration {
  const check = new OptionChecker()
  if (!host.hasSession) {
    check.add(
      '@fastify/session',
      'is not registered; register @fastify/cookie and @fastify/session before fastify-oauth-session'
    )
  }
  check.object('options', options)
  check.known('', options, Object.keys(OPTIONS), PASSED_ALONG)
  for (const [name, checkOption] of Object.entries(OPTIONS)) {
    checkOption?.(check, name, options?.[name as keyof PluginOptions], {} as ProviderOptions)
  }

  const baseUrl = checkBaseUrl(options, check)
  const decorator = checkDecorator(options.decorator, host, check)
  checkKeptFields(check, options.keepSessionFields, decorator)
  const mount = joinPaths(fastifyPath(host.scopePrefix), checkPath('prefix', options.prefix ?? '', check))
  const providers = resolveProviders(options.providers, check)
  const { defaultProvider } = options
  if (defaultProvider !== undefined && !providers.has(defaultProvider)) {
    check.add(
      'defaultProvider',
      `is ${shown(defaultProvider)}, which is not among the providers; write one of ` +
        `${[...providers.keys()].join(', ')}`
    )
  }
  const routes = checkRoutes(options.routes, mount, providers.size, check)
  const encryptionKeys = checkEncryptionKeys(options.encryptionKeys, check)
  if (routes !== false && check.isValid) checkSessionCookie(routes, mount, baseUrl, host, check)
  const problem = baseUrl === undefined || !check.isValid ? undefined : postedModeProblem(baseUrl)
  for (const { name, responseMode } of problem === undefined ? [] : providers.values()) {
    if (isPostedMode(responseMode)) check.add(`providers.${name}.responseMode`, problem!)
  }
  check.report()

  return Object.freeze({
    ...options,
    baseUrl: typeof options.baseUrl === 'function' ? lateBaseUrl(options.baseUrl, onBaseUrl) : () => baseUrl!,
    staticBaseUrl: baseUrl,
    providers,
    defaultProvider: defaultProvider ?? (providers.size === 1 ? [...providers.keys()][0] : undefined),
    decorator,
    mount,
    routes,
    routeOptions: routeOptionsOf(options.routeOptions),
    keepSessionFields: [...options.keepSessionFields ?? []],
    tokenCacheMaxAge: options.tokenCacheMaxAge ?? 0,
    encryptionKeys
  })
}

function resolveProviders (options: PluginOptions['providers'], check: OptionChecker): Map<string, ProviderConfig> {
  const providers = new Map<string, ProviderConfig>()
  const given = check.object('providers', options)
  const entries = Object.entries(given ?? {})
  if (given !== undefined && entries.length === 0) {
    check.add('providers', 'names no provider; give at least one, such as { acme: { issuer, clientId, clientSecret } }')
  }
  for (const [name, provider] of entries) {
    if (typeof provider === 'function') {
      check.add(`providers.${name}`, 'is a function; call it, as in github({ clientId, clientSecret })')
    } else if (check.object(`providers.${name}`, provider) !== undefined) {
      checkProviderName(name, check)
      providers.set(name, resolveProvider(name, provider, check))
    }
  }
  return providers
}

function checkDecorator (value: unknown = 'oauth', { hasSession, takenBy }: HostApp, check: OptionChecker): string {
  if (typeof value !== 'string' || !/^[A-Za-z]\w*$/.test(value)) {
    check.add('decorator', `must be a name such as 'staff', of letters, digits and _, not ${shown(value)}`)
    return 'oauth'
  }
  const owner = hasSession ? takenBy?.(value) : undefined
  if (owner !== undefined) {
    const remedy = value === 'oauth'
      ? "give this registration a name of its own, such as decorator: 'staff', and a prefix"
      : 'write another name'
    check.add('decorator', `is "${value}", which ${owner} has already; ${remedy}`)
  }
  return value
}

function checkKeptFields (check: OptionChecker, fields: PluginOptions['keepSessionFields'], member: string): void {
  if (!Array.isArray(fields)) return
  const login = fields.find(field => typeof field === 'string' && [member, 'oauth'].includes(field.split(':', 1)[0]!))
  if (login === undefined) return
  const path = 'keepSessionFields'
  check.add(path, `lists "${login}"; the login itself is never carried over to another login, take it out`)
}

function checkEncryptionKeys (
  keys: PluginOptions['encryptionKeys'],
  check: OptionChecker
): readonly Buffer[] | undefined {
  if (keys === undefined) return undefined
  if (Array.isArray(keys) && keys.includes(undefined)) return check.unset('encryptionKeys', keys) as undefined
  const parsed = Array.isArray(keys) ? parseEncryptionKeys(keys) : undefined
  if (parsed !== undefined) return parsed
  check.add('encryptionKeys', 'must be a list of keys of 32 bytes each, as Buffer or base64url; make one with: ' +
    "node -p \"crypto.randomBytes(32).toString('base64url')\"")
}
