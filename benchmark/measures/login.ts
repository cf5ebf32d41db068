/** What it costs to send a new browser to the provider. */
import { FASTIFY_OAUTH2, FLOOR, OTHER_PEERS, THIS_PROJECT } from '../contestants.ts'
import type { LoadMeasure } from './load-measure.ts'

const BASE = 'hand-written'
const PEER = '@fastify/oauth2'

export const login: LoadMeasure = {
  name: 'login',
  title: '`GET /login` → 302 of a new browser, 16 at once',
  rows: [
    { title: BASE, contestant: FLOOR, path: '/login', quick: true },
    { title: 'hand-written, in the session', contestant: FLOOR, path: '/login-in-session' },
    {
      title: 'fastify-oauth-session',
      contestant: THIS_PROJECT,
      path: '/login',
      quick: true,
      targets: [{ against: BASE, atMost: 1.25 }, { against: PEER, atMost: 0.70 }]
    },
    { title: PEER, contestant: FASTIFY_OAUTH2, path: '/login', quick: true },
    ...OTHER_PEERS.map(peer => ({ ...peer, path: peer.contestant.login ?? '' }))
  ],
  count: 3000,
  async prepare (bench, { contestant, path }, app) {
    if (contestant.login === path) await bench.logIn(contestant, app, 2)
    const load = { origin: app.origin, path, headers: {}, atOnce: 16, status: 302 }
    return async (count) => bench.sendRequests({ ...load, count })
  }
}
