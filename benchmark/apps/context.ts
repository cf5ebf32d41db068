import type { Server } from 'node:http'

/** What an app is built from. */
export interface AppContext {
  /** Listens already: redirect URIs are known before an app is built. */
  readonly server: Server
  /** URL of the app. */
  readonly origin: string
  /** Issuer of the provider. */
  readonly provider: string
  /** URL of the API, without the path. */
  readonly api: string
  /** How many providers the app has; only the first one is used. Default 1. */
  readonly providers?: number
  /** Socket of Redis, where sessions are to be kept there. */
  readonly redis?: string
}

export const SESSION_SECRET = 'a secret of the session, at least 32 characters'
export const CLIENT_ID = 'client'
export const CLIENT_SECRET = 'secret'
export const SCOPE = ['openid', 'profile', 'email', 'offline_access']
