/** What a handler costs that calls an API with the user's token and returns its JSON. */
import type { Bench, RunningApp } from '../bench.ts'
import { FASTIFY_OAUTH2, FLOOR, NO_SESSION, OTHER_PEERS, THIS_PROJECT } from '../contestants.ts'
import type { LoadMeasure, LoadRow } from './load-measure.ts'

const BASE = 'undici.request, no session'

function rows (json: number, responseData?: number): LoadRow[] {
  return [
    { title: BASE, contestant: NO_SESSION, path: '/request', quick: true },
    { title: 'undici dispatch, no session', contestant: NO_SESSION, path: '/dispatch' },
    { title: 'global fetch, no session', contestant: NO_SESSION, path: '/fetch' },
    { title: 'undici.request, hand-written login', contestant: FLOOR, path: '/request' },
    { title: 'undici dispatch, hand-written login', contestant: FLOOR, path: '/dispatch', quick: true },
    {
      title: 'fastify-oauth-session',
      contestant: THIS_PROJECT,
      path: '/json',
      quick: true,
      targets: [{ against: BASE, atMost: json }]
    },
    {
      title: 'fastify-oauth-session, ResponseData',
      contestant: THIS_PROJECT,
      path: '/response-data',
      quick: true,
      targets: responseData === undefined ? [] : [{ against: BASE, atMost: responseData }]
    },
    { title: '@fastify/oauth2', contestant: FASTIFY_OAUTH2, path: '/orders', quick: true },
    ...OTHER_PEERS.filter(({ calls }) => calls).map(peer => ({ ...peer, path: '/orders' }))
  ]
}

async function prepare (bench: Bench, row: LoadRow, app: RunningApp, atOnce: number) {
  const { origin } = app
  const { path, contestant } = row
  const headers = contestant.login === undefined
    ? [{ authorization: `Bearer ${(await bench.issueToken()).accessToken}` }]
    : (await bench.logIn(contestant, app, atOnce)).map(cookie => ({ cookie }))
  await checkOrders(origin, path, headers[0]!, contestant.me)
  return async (count: number) => bench.sendRequests({ origin, path, headers, count, atOnce, status: 200 })
}

/** The orders are there, and of the user who is logged in: the right token was sent. */
async function checkOrders (origin: string, path: string, headers: Record<string, string>, me?: string): Promise<void> {
  const response = await fetch(origin + path, { headers })
  const { user, orders } = await response.json() as { user?: string, orders?: unknown[] }
  if (response.status !== 200 || orders?.length !== 9) throw new Error(`the call answered ${response.status}`)
  if (me === undefined) return
  const { sub } = await (await fetch(origin + me, { headers })).json() as { sub?: string }
  if (user !== sub) throw new Error('the call had the token of another user')
}

export const call: LoadMeasure = {
  name: 'call',
  title: 'API call from a handler that returns its JSON, 16 at once',
  rows: rows(1.20, 1.45),
  count: 4000,
  prepare: async (bench, row, app) => prepare(bench, row, app, 16)
}

export const call64: LoadMeasure = {
  ...call,
  name: 'call64',
  title: 'API call from a handler that returns its JSON, 64 at once',
  rows: rows(1.35),
  prepare: async (bench, row, app) => prepare(bench, row, app, 64)
}
