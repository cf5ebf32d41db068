/** Who is measured: the apps below `apps/`. */

export interface Contestant {
  /** The module below `apps/`. */
  readonly app: string
  /** The login route. */
  readonly login?: string
  /** The route that says who is logged in: `{ sub }`. */
  readonly me?: string
}

export const NO_SESSION: Contestant = { app: 'no-session' }
export const FLOOR: Contestant = { app: 'floor', login: '/login', me: '/me' }
export const THIS_PROJECT: Contestant = { app: 'this-project', login: '/login', me: '/me' }
export const FASTIFY_OAUTH2: Contestant = { app: 'fastify-oauth2', login: '/login', me: '/me' }
