import { setTimeout } from 'node:timers/promises'
import { Browser } from '../../helpers/browser.ts'
import { buildApp } from '../../helpers/build-app.ts'
import { startProvider, type TestProvider } from '../../helpers/provider.ts'
import { expireTokens } from '../../helpers/records.ts'
import type { JsonStore } from '../../helpers/stores.ts'
import { later, type Cleanup } from '../cleanup.ts'
import { NotUnderstood } from '../case.ts'
import { observeAndClose, type Operation } from '../operation.ts'
import { numberIn } from '../sentences.ts'

/**
 * An app whose route calls an API as the user, who is logged in with a browser. The provider rotates refresh tokens and
 * punishes reuse.
 */
async function ordersSite (cleanup: Cleanup, provider: TestProvider, store?: JsonStore) {
  const arrived = { count: 0 }
  const { url, store: own } = await buildApp(cleanup, {
    oauth: { providers: { acme: provider.providerOptions } },
    ...(store !== undefined && { session: { store } }),
    setup: (app) => {
      app.addHook('onRequest', async ({ url }) => { if (url === '/orders') arrived.count++ })
      app.get('/orders', async request => await request.oauth.get('orders').json())
      // One client that makes several calls at once.
      app.get(
        '/many',
        async request =>
          await Promise.all(
            Array.from({ length: Number((request.query as { count: string }).count) }, () =>
              request.oauth.get('orders').json()
            )
          )
      )
    }
  })
  return { url, store: store ?? own, arrived }
}

async function loggedIn (cleanup: Cleanup, accessTokenTtl?: number) {
  const provider = await startProvider(cleanup, accessTokenTtl === undefined ? {} : { accessTokenTtl })
  const site = await ordersSite(cleanup, provider)
  const browser = new Browser()
  await browser.login(`${site.url}/login/acme`)
  return {
    provider,
    browser,
    ...site,
    refreshes: () => provider.tokenRequests.filter(({ body }) => body.grant_type === 'refresh_token').length
  }
}

async function wave (
  browser: Browser,
  url: string,
  count: number
): Promise<{ status: number, code: string | undefined }[]> {
  const pages = await Promise.all(Array.from({ length: count }, () => browser.get(`${url}/orders`)))
  return pages.map(page => ({ status: page.status, code: page.json<{ code?: string }>().code }))
}

const isDone = ({ status }: { status: number }) => status === 200

const PARALLEL = /(\d+) (?:\w+ )?(?:simultaneous|parallel|concurrent|at once|in parallel|at the same time)/

const parallelRequests: Operation = {
  given: ['flow'],
  run: async ({ given }) => await observeAndClose(async (observed, cleanup) => {
    const { browser, url, store, refreshes, provider } = await loggedIn(cleanup)
    expireTokens(store)
    const answers = await wave(browser, url, numberIn(given.flow, PARALLEL))
    observed.facts = {
      token_requests: refreshes(),
      all_succeed: answers.every(isDone) && provider.refreshTokenReuses === 0
    }
  })
}

/** The same with one client. */
export const parallelCalls: Operation = {
  given: ['flow'],
  run: async ({ given }) => await observeAndClose(async (observed, cleanup) => {
    const { browser, url, store, refreshes, provider } = await loggedIn(cleanup)
    expireTokens(store)
    const { status } = await browser.get(`${url}/many?count=${numberIn(given.flow, PARALLEL)}`)
    observed.facts = {
      status,
      token_requests: refreshes(),
      all_succeed: isDone({ status }) && provider.refreshTokenReuses === 0
    }
  })
}

const parallelThenRetry: Operation = {
  given: ['flow'],
  run: async ({ given }) => await observeAndClose(async (observed, cleanup) => {
    const { browser, url, store, refreshes, provider, arrived } = await loggedIn(cleanup)
    const count = numberIn(given.flow, /(\d+) in parallel/)
    expireTokens(store)
    provider.failTokenEndpoint({ status: numberIn(given.flow, /fails once with (\d{3})/) }, { times: 1 })
    // The failure is answered when all of them wait for it.
    const gate = provider.holdTokenEndpoint()
    const waiting = wave(browser, url, count)
    while (arrived.count < count) await setTimeout(5)
    await setTimeout(50)
    gate.release()
    const first = await waiting
    const asked = refreshes()
    const second = await wave(browser, url, 1)
    observed.facts = { token_requests_first_wave: asked }
    observed.described = {
      first_wave: describeWave(first),
      second_call: second.every(isDone)
        ? `succeeds with ${refreshes() > asked ? 'a new refresh' : 'no new refresh'}`
        : 'fails'
    }
  })
}

function describeWave (answers: readonly { status: number, code: string | undefined }[]): string {
  if (answers.every(isDone)) return 'all succeed'
  if (answers.some(isDone)) return 'some fail'
  return new Set(answers.map(({ code }) => code)).size === 1
    ? 'all fail with the same error'
    : 'all fail, with several errors'
}

/** `reload_and_request`: tokens that one app has stored, and another one finds after some time. */
const reloadAndRequest: Operation = {
  given: ['flow'],
  run: async ({ given }) => await observeAndClose(async (observed, cleanup) => {
    const [saved, reloaded] = [...String(given.flow).matchAll(/t=(\d+)/g)].map(([, seconds]) => Number(seconds))
    if (saved === undefined || reloaded === undefined) throw new NotUnderstood(`given.flow "${given.flow}"`)
    const { provider, browser, store, refreshes } = await loggedIn(cleanup, numberIn(given.flow, /expires_in (\d+)/))
    const again = await ordersSite(cleanup, provider, store)
    await later(reloaded - saved, async () => {
      const page = await browser.get(`${again.url}/orders`)
      observed.facts = { status: page.status, token_requests: refreshes() }
    })
  })
}

export const siteRefreshOperations = {
  parallel_requests_one_session: parallelRequests,
  parallel_then_retry: parallelThenRetry,
  reload_and_request: reloadAndRequest
}
