/** Who is measured: the apps below `apps/`. */

export interface Contestant {
  /** The module below `apps/`. */
  readonly app: string
  /** The login route. */
  readonly login?: string
  /**
   * False where the signature of an ID token is left unchecked, which OpenID Connect Core, section 3.1.3.7, allows for
   * one that comes from the token endpoint itself.
   */
  readonly checksSignature?: boolean
  /** The route that says who is logged in: `{ sub }`. */
  readonly me?: string
}

export const NO_SESSION: Contestant = { app: 'no-session' }
export const FLOOR: Contestant = { app: 'floor', login: '/login', me: '/me' }
export const THIS_PROJECT: Contestant = { app: 'this-project', login: '/login', me: '/me' }
export const FASTIFY_OAUTH2: Contestant = { app: 'fastify-oauth2', login: '/login', me: '/me' }
export const OPENID_CLIENT: Contestant = { app: 'openid-client', login: '/login', me: '/me' }
export const SIMPLE_OAUTH2: Contestant = { app: 'simple-oauth2', login: '/login', me: '/me' }
export const PASSPORT: Contestant = { app: 'passport', login: '/login', me: '/me' }
export const GRANT: Contestant = { app: 'grant', login: '/connect/acme', me: '/me' }
export const EXPRESS_OPENID_CONNECT: Contestant = {
  app: 'express-openid-connect',
  login: '/login',
  me: '/me',
  checksSignature: false
}
export const BETTER_AUTH: Contestant = { app: 'better-auth', login: '/login', me: '/me' }

/** Those that are not the nearest peer, each with a login route and one that is plain. */
export const OTHER_PEERS: ReadonlyArray<{ title: string, contestant: Contestant, calls: boolean, share?: number }> = [
  { title: 'openid-client', contestant: OPENID_CLIENT, calls: true },
  { title: 'simple-oauth2', contestant: SIMPLE_OAUTH2, calls: true },
  { title: 'passport-oauth2, @fastify/passport', contestant: PASSPORT, calls: true },
  { title: 'grant', contestant: GRANT, calls: false },
  { title: 'express-openid-connect', contestant: EXPRESS_OPENID_CONNECT, calls: true },
  { title: 'better-auth', contestant: BETTER_AUTH, calls: true, share: 0.05 }
]
