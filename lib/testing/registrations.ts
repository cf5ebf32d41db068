import type { FastifyInstance } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidOptionsError } from '../errors.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { sharedSession } from '../session/context.ts'
import { sessionRegistration } from '../session/fastify-session.ts'
import { shown } from '../util/shown.ts'

/** A Fastify app on any kind of server, with a logger and a type provider of its own. */
export type AnyApp = FastifyInstance<any, any, any, any, any>

/** One provider of a registration of the plugin. */
export interface Registered {
  readonly context: PluginContext
  readonly client: ProviderClient
}

/** Which provider is meant. */
export interface WhichProvider {
  /** Name of the provider; default the only one, or `defaultProvider`. */
  readonly provider?: string | undefined
  /** The `decorator` of the registration, if several have a provider of that name. */
  readonly decorator?: string | undefined
  /** The prefix of the registration, if several have a provider of that name. */
  readonly prefix?: string | undefined
}

/**
 * Makes the app ready that a helper was given.
 * @param helper its name, for the error
 * @throws FST_OAUTH_INVALID_OPTIONS where it is none
 */
export async function makeReady (helper: string, app: AnyApp): Promise<void> {
  if (typeof (app as AnyApp | null | undefined)?.ready !== 'function') {
    throw new InvalidOptionsError(`${helper} takes the Fastify app, not ${shown(app)}; await it where it is a promise`)
  }
  await app.ready()
}

/**
 * Finds a provider in an app that is ready.
 * @throws FST_OAUTH_INVALID_OPTIONS if there is none, or more than one that fits
 */
export function findRegistered (app: AnyApp, which: WhichProvider): Registered {
  const { provider, decorator, prefix } = which
  const all = registrationsOf(app)
  const mounted = all.filter(({ config }) =>
    (prefix === undefined || config.mount === String(prefix).replace(/\/$/, '')) &&
    (decorator === undefined || config.decorator === decorator))
  const found = mounted.flatMap(context => candidates(context, provider).map(client => ({ context, client })))
  if (found.length === 1) return found[0]!
  const message = misnamed(all, { provider, decorator, prefix }, found.length)
  throw new InvalidOptionsError(message, { reason: 'configuration' })
}

/** What to write in place of what fits no provider, or several. */
function misnamed (all: readonly PluginContext[], asked: WhichProvider, found: number): string {
  const known = all.flatMap(({ config: { providers, decorator, mount } }) =>
    [...providers.keys()].map((provider): Required<WhichProvider> => ({ provider, decorator, prefix: mount })))
  // No more than what tells them apart.
  const keys = (['provider', 'decorator', 'prefix'] as const)
    .filter(key => asked[key] !== undefined || new Set(known.map(one => one[key])).size > 1)
  const named = JSON.stringify(asked)
  const problem = found === 0 ? `no provider of the app is ${named}` : `${named} fits several providers of the app`
  return `${problem}; pass one of ${known.map(one => JSON.stringify(one, keys)).join(' ')}`
}

function candidates ({ config, providers }: PluginContext, name: string | undefined): ProviderClient[] {
  const named = name ?? config.defaultProvider
  if (named === undefined) return [...providers.values()]
  const client = providers.get(named)
  return client === undefined ? [] : [client]
}

/**
 * The registrations of the plugin in an app that is ready, one at least.
 * @throws FST_OAUTH_INVALID_OPTIONS if there is none
 */
export function registrationsOf (app: AnyApp): PluginContext[] {
  const sessions = new Set<unknown>()
  const all: PluginContext[] = []
  for (const scope of scopesOf(app as unknown as FastifyInstance)) {
    const registration = sessionRegistration(scope) as object | undefined
    if (registration === undefined || sessions.has(registration)) continue
    sessions.add(registration)
    all.push(...sharedSession(scope).registrations as PluginContext[])
  }
  if (all.length === 0) {
    throw new InvalidOptionsError(
      'the app has no fastify-oauth-session, or one of another copy of the package than fastify-oauth-session/testing'
    )
  }
  return all
}

/** The app and every scope in it: @fastify/session and the plugin may be in one of these. */
function * scopesOf (app: FastifyInstance): Generator<FastifyInstance> {
  yield app
  // No public member of Fastify tells them.
  const children = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.children')
  if (children === undefined) return
  for (const child of (app as unknown as Record<symbol, FastifyInstance[]>)[children]!) yield * scopesOf(child)
}
