import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import oauth, { createProvider, OAuthError, type StoredRecord, type TokenStore } from '../../../lib/index.ts'
import { SESSION_SECRET } from '../../helpers/build-app.ts'
import { listen } from '../../helpers/listen.ts'
import { codesOf } from '../error-codes.ts'
import { Browser, loginSite } from '../login-site.ts'
import { observeAndClose, type Operation } from '../operation.ts'
import { speaksOf } from '../sentences.ts'

/** `load`: where tokens are found again. */
const load: Operation = {
  given: ['flow'],
  run: async ({ given: { flow } }) => await observeAndClose(async (observed, cleanup) => {
    speaksOf(flow, /logged.in|principal|user/, /anonymous|visitor/)
    const records = new Map<string, StoredRecord>()
    const site = await loginSite(cleanup, {}, { tokenStore: mapStore(records) })
    const browser = new Browser()
    await site.open(browser, await site.begin(browser))
    const user = String(await site.userOf(browser))
    const keyed = [...records.keys()].some(key => key.includes('acme') && key.includes(user))
    observed.described = {
      logged_in: keyed
        ? 'store keyed by (provider, principal)'
        : 'store keyed by a random id that the session alone knows',
      anonymous: 'session'
    }
  })
}

function mapStore (records: Map<string, StoredRecord>): TokenStore {
  const consume = async (id: string) => {
    const record = records.get(id)
    records.delete(id)
    return record
  }
  return {
    get: async id => records.get(id),
    set: async (id, record) => { records.set(id, record); return true },
    consume,
    touch: async () => {},
    delete: async (id) => { await consume(id) }
  }
}

/** `close`: a client that is closed twice and then called. */
const close: Operation = {
  given: ['flow'],
  run: async ({ given: { flow } }) => await observeAndClose(async (observed, cleanup) => {
    speaksOf(flow, /close/, /twice|again/)
    const { server, port, close } = await listen((_request, response) => { response.end('{}') })
    cleanup.after(close)
    const url = `http://127.0.0.1:${port}/`
    const provider = createProvider({
      authorizationEndpoint: `${url}authorize`,
      tokenEndpoint: `${url}token`,
      clientId: 'cid',
      resourceServers: [url]
    })
    const client = provider.session({ tokens: { access_token: 'at1' } })
    await client.get('x').json()
    await provider.close()
    await provider.close()
    const refused: unknown = await client.get('x').json().catch((error: unknown) => error)
    observed.facts = {
      idempotent: refused instanceof OAuthError,
      pooled_connections_released: await hasNoConnections(server)
    }
  })
}

async function hasNoConnections (server: Awaited<ReturnType<typeof listen>>['server']): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    const count = await new Promise<number>((resolve, reject) =>
      server.getConnections((error, connections) => (error === null ? resolve(connections) : reject(error)))
    )
    if (count === 0) return true
    await setTimeout(10)
  }
  return false
}

/** `lookup`: a provider that was not registered. */
const lookup: Operation = {
  given: ['flow'],
  run: async ({ given: { flow } }) => await observeAndClose(async (observed, cleanup) => {
    speaksOf(flow, /unregistered|not registered|unknown/, /provider/)
    const app = Fastify()
    cleanup.after(() => app.close())
    await app.register(cookie)
    await app.register(session, { secret: SESSION_SECRET })
    await app.register(oauth, {
      baseUrl: 'https://app.b',
      providers: { acme: { issuer: 'https://as.b', clientId: 'cid', clientSecret: 'sec' } }
    })
    observed.described = { result: outcomeOf(() => app.oauth.provider('unregistered')) }
  })
}

function outcomeOf (find: () => unknown): string {
  try {
    return find() === undefined ? 'undefined' : 'a client'
  } catch (error) {
    return codesOf(error).includes('configuration') ? 'a typed configuration error' : 'an error of another kind'
  }
}

export const hostAppOperations = { load, close, lookup }
