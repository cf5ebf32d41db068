import type { OwnRouteOptions, PluginOptions, RouteName, RouteOptions } from '../options.ts'
import type { ProviderConfig } from '../providers/config.ts'

/** The paths of the routes, checked, with defaults. */
export type ResolvedRoutes = Required<Omit<RouteOptions, 'session'>> & Pick<RouteOptions, 'session'>

/** The plugin's options, checked, with defaults, frozen. */
export interface Configuration extends Omit<
  PluginOptions,
  | 'defaultProvider'
  | 'providers'
  | 'baseUrl'
  | 'routes'
  | 'prefix'
  | 'decorator'
  | 'keepSessionFields'
  | 'tokenCacheMaxAge'
  | 'encryptionKeys'
  | 'routeOptions'
> {
  readonly baseUrl: () => URL
  /** The same if it is known before the first request. */
  readonly staticBaseUrl: URL | undefined
  readonly providers: ReadonlyMap<string, ProviderConfig>
  readonly defaultProvider: string | undefined
  readonly decorator: string
  /** Everything before a route's own path: the scope's prefix and `prefix`. */
  readonly mount: string
  readonly routes: ResolvedRoutes | false
  /** What the app adds to one of the plugin's routes. */
  readonly routeOptions: (route: RouteName) => OwnRouteOptions
  readonly keepSessionFields: string[]
  readonly tokenCacheMaxAge: number
  readonly encryptionKeys: readonly Buffer[] | undefined
}

/** What options have to fit in the app around the plugin. */
export interface HostApp {
  hasSession: boolean
  /** The session cookie's settings, if they could be read: `auto` is secure on https alone. */
  cookie?: { path: string, secure: boolean | 'auto' }
  /** Prefix of the scope that the plugin is registered in. */
  scopePrefix: string
  /** What has a decorator's name already; undefined if it is free. */
  takenBy?: (decorator: string) => string | undefined
}
