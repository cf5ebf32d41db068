/** What a whole login costs the app: its login route and its callback, with a checked ID token. */
import { FASTIFY_OAUTH2, FLOOR, OTHER_PEERS, THIS_PROJECT } from '../contestants.ts'
import type { LoadMeasure } from './load-measure.ts'

const BASE = 'hand-written, with jose'
const PEER = '@fastify/oauth2, with jose'

export const wholeLogin: LoadMeasure = {
  name: 'whole-login',
  title: 'Whole login with a checked ID token (RS256), 16 at once',
  rows: [
    { title: BASE, contestant: FLOOR, path: '/login', quick: true },
    {
      title: 'fastify-oauth-session',
      contestant: THIS_PROJECT,
      path: '/login',
      quick: true,
      targets: [{ against: BASE, atMost: 1.30 }, { against: PEER, atMost: 0.75 }]
    },
    { title: PEER, contestant: FASTIFY_OAUTH2, path: '/login', quick: true },
    ...OTHER_PEERS.map(peer => ({
      ...peer,
      title: peer.title + (peer.contestant.checksSignature === false ? ', signature unchecked' : ''),
      path: peer.contestant.login ?? ''
    }))
  ],
  count: 1000,
  async prepare (bench, { contestant, path }, app) {
    await bench.logIn(contestant, app, 2)
    const { checksSignature = true } = contestant
    if (checksSignature && await bench.acceptsForgedIdToken(contestant, app)) {
      throw new Error('it accepts a forged ID token')
    }
    return async (count) => bench.logInMany({ origin: app.origin, path, count, atOnce: 16 })
  }
}
