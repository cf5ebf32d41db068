/** What the plugin costs a route that does not touch it, for a user who is logged in. */
import { FASTIFY_OAUTH2, FLOOR, OTHER_PEERS, THIS_PROJECT } from '../contestants.ts'
import type { LoadMeasure } from './load-measure.ts'

const BASE = '@fastify/session with a pointer'

export const route: LoadMeasure = {
  name: 'route',
  title: 'Plain route of a user who is logged in, 16 at once',
  rows: [
    { title: BASE, contestant: FLOOR, path: '/plain', quick: true },
    {
      title: 'fastify-oauth-session',
      contestant: THIS_PROJECT,
      path: '/plain',
      quick: true,
      targets: [{ against: BASE, atMost: 1.10 }]
    },
    { title: '@fastify/oauth2, tokens in the session', contestant: FASTIFY_OAUTH2, path: '/plain', quick: true },
    ...OTHER_PEERS.map(peer => ({ ...peer, path: '/plain' }))
  ],
  count: 8000,
  async prepare (bench, { contestant, path }, app) {
    const headers = (await bench.logIn(contestant, app, 16)).map(cookie => ({ cookie }))
    const load = { origin: app.origin, path, headers, atOnce: 16, status: 200 }
    return async (count) => bench.sendRequests({ ...load, count })
  }
}
