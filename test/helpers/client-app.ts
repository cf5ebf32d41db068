import type { Dispatcher } from 'undici'
import type { Test } from 'tap'
import type { FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { PluginOptions, ProviderOptions, RequestOAuth } from '../../lib/index.ts'
import { Browser, type Page } from './browser.ts'
import { buildApp } from './build-app.ts'
import { startProvider, type TestProvider } from './provider.ts'
import type { ProviderOptions as TestProviderOptions } from './provider-options.ts'
import type { ApiRequest } from './resource-server.ts'
import type { JsonStore } from './stores.ts'

export interface ClientAppOptions {
  /** Of the provider that is started. */
  provider?: TestProviderOptions
  /** Of the plugin's options for it, over the usual ones. */
  acme?: Partial<ProviderOptions> | ((provider: TestProvider) => Partial<ProviderOptions>)
  /** Of the plugin, over the usual ones. */
  oauth?: Partial<PluginOptions>
  dispatcher?: Dispatcher
  fastify?: FastifyServerOptions
}

export type Work<T> = (oauth: RequestOAuth, request: FastifyRequest, reply: FastifyReply) => T

/** An app with one user, alice, logged in by a browser. */
export interface ClientApp {
  readonly url: string
  readonly provider: TestProvider
  readonly store: JsonStore
  readonly browser: Browser
  /** What the API was asked, in order. */
  readonly requests: ApiRequest[]
  /** Does something in a handler of the app, as alice, and returns (or throws) what it did: the very same object. */
  run<T> (work: Work<T>): Promise<Awaited<T>>
  /** The same as somebody who is not logged in. */
  runAnonymous<T> (work: Work<T>): Promise<Awaited<T>>
  /** The answer of the app itself to a handler. */
  page (work: Work<unknown>): Promise<Page>
}

export async function startClientApp (
  t: Test,
  { provider: settings, acme, oauth, dispatcher, fastify }: ClientAppOptions = {}
): Promise<ClientApp> {
  const provider = await startProvider(t, settings)
  const works = new Map<string, Work<unknown>>()
  const { url, store } = await buildApp(t, {
    oauth: {
      providers: { acme: { ...provider.providerOptions, ...typeof acme === 'function' ? acme(provider) : acme } },
      ...(dispatcher !== undefined && { dispatcher }),
      ...oauth
    },
    ...(fastify !== undefined && { fastify }),
    setup: (app) => {
      app.get<{ Params: { id: string } }>('/work/:id', async (request, reply) => {
        const work = works.get(request.params.id)
        works.delete(request.params.id)
        return await work!(request.oauth, request, reply)
      })
    }
  })
  let count = 0
  const page = async (work: Work<unknown>, as: Browser) => {
    const id = String(++count)
    works.set(id, work)
    return await as.get(`${url}/work/${id}`)
  }
  const run = async <T>(work: Work<T>, as: Browser): Promise<Awaited<T>> => {
    const done: PromiseSettledResult<Awaited<T>>[] = []
    const answer = await page(async (...args) => {
      done.push(...await Promise.allSettled([settle(work, args)]))
      return 'done'
    }, as)
    const [outcome] = done
    if (outcome === undefined) throw new Error(`the handler did not run: ${answer.status} ${answer.text}`)
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  }

  const browser = new Browser()
  const landed = await browser.login(`${url}/login/acme`, { user: 'alice' })
  if (landed.status !== 200) throw new Error(`alice could not log in: ${landed.status} ${landed.text}`)
  return {
    url,
    provider,
    store,
    browser,
    requests: provider.api.requests,
    run: work => run(work, browser),
    runAnonymous: work => run(work, new Browser()),
    page: work => page(work, browser)
  }
}

// A synchronous throw is told from a rejection: calls must never do the first.
async function settle<T> (work: Work<T>, args: Parameters<Work<T>>): Promise<Awaited<T>> {
  let result: T
  try {
    result = work(...args)
  } catch (error) {
    throw new ThrownSynchronously(error)
  }
  return await result
}

/** What a handler threw without a promise. */
export class ThrownSynchronously extends Error {
  constructor (cause: unknown) {
    super(`thrown synchronously: ${String(cause)}`, { cause })
  }
}

/** The error that a promise rejects with; fails the test where it does not. */
export async function rejection<
  E = Error & { code?: string, reason?: string, statusCode?: number, responseStatus?: number, provider?: string }
> (promise: Promise<unknown>): Promise<E> {
  return await promise.then(
    (value) => { throw new Error(`no rejection, but ${String(value)}`) },
    (error: unknown) => error as E
  )
}
