import type { FastifyRequest } from 'fastify'

/** Marks the plugin's own routes, in their `config`. */
const kOwnRoute = Symbol('fastify-oauth-session.route')

/** The `config` of the plugin's own routes. */
export const ownRoute: Record<symbol, true> = { [kOwnRoute]: true }

/** Whether a request has come to one of the plugin's own routes, of any registration. */
export function isOwnRoute ({ routeOptions }: FastifyRequest): boolean {
  return (routeOptions.config as unknown as Record<symbol, unknown> | undefined)?.[kOwnRoute] === true
}
