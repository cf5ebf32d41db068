import type { FastifyInstance } from 'fastify'
import { sharedSession } from './context.ts'
import { isSessionMember } from './fastify-session.ts'

/**
 * What has the name already that a registration of the plugin is to have under `app`, `request` and in the session;
 * undefined if it is free. A scope may give the name of a registration further out to one of its own.
 */
export function takenBy (app: FastifyInstance, name: string): string | undefined {
  const isPlugins = sharedSession(app).registrations.some(({ config }) => config.decorator === name)
  if (Object.hasOwn(app, name)) return isPlugins ? 'another registration of the plugin' : `app.${name}`
  if (isPlugins) return undefined
  if (app.hasDecorator(name)) return `app.${name}`
  if (app.hasRequestDecorator(name)) return `request.${name}`
  return name !== 'oauth' && isSessionMember(app, name) ? `session.${name}` : undefined
}
