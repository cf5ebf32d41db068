import { randomBytes } from 'node:crypto'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { StoredRecord, TokenStore } from '../../lib/index.ts'
import { redisStore } from '../../lib/redis.ts'
import { Browser } from '../helpers/browser.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, callbackUrl, codeOf, loginApp, type LoginApp } from '../helpers/login-app.ts'
import { startRedis } from '../helpers/redis.ts'
import { JsonStore } from '../helpers/stores.ts'

// Something else is stored under the id of a record: it counts as missing, and is shown in no response.

const SECRET = 'a-token-that-stands-in-the-store'

function routes (app: FastifyInstance): void {
  app.get('/tokens', async ({ oauth }) => ({ scope: (await oauth.tokens()).scope }))
  app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'in')
  app.get('/refresh', async ({ oauth }) => { await oauth.refresh() })
}

const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
const set = { accessToken: SECRET, tokenType: 'Bearer', scope: [], raw: {} }
const whole = { version: 1, provider: 'acme', providerIdentity: 'x', tokens: set, obtainedAt: 1, ttl: 60, user: null }

/** JSON that stands in a record's place. */
const odd: Record<string, string> = {
  null: 'null',
  'a list': `["${SECRET}"]`,
  'a text': `"${SECRET}"`,
  'a number': '5',
  true: 'true',
  '{}': '{}',
  'a version alone': '{"version":3}',
  'a version that is a text': JSON.stringify({ ...whole, version: SECRET }),
  'no tokens': JSON.stringify({ ...whole, tokens: undefined }),
  'tokens that are a text': JSON.stringify({ ...whole, tokens: SECRET }),
  'tokens that are a list': JSON.stringify({ ...whole, tokens: [set] }),
  'tokens without a token': JSON.stringify({ ...whole, tokens: { ...set, accessToken: undefined } }),
  'a token that is an object': JSON.stringify({ ...whole, tokens: { ...set, accessToken: { token: SECRET } } }),
  'a scope that is a text': JSON.stringify({ ...whole, tokens: { ...set, scope: 'openid' } }),
  'no members of the response': JSON.stringify({ ...whole, tokens: { ...set, raw: undefined } }),
  'a refresh token that is a number': JSON.stringify({ ...whole, tokens: { ...set, refreshToken: 5 } }),
  'a pending set that is a text': JSON.stringify({ ...whole, pendingTokens: SECRET }),
  'a user that is a text': JSON.stringify({ ...whole, user: SECRET }),
  'a list of logins that is a number': '{"version":1,"members":5}',
  'a list of odd logins': `{"version":1,"members":[null,5,"${SECRET}",{"name":7}]}`,
  'nested 20,000 deep': `{"version":1,"tokens":${nested(20_000)}}`,
  'good but for what is nested in it':
    JSON.stringify({ ...whole, tokens: { ...set, raw: '?' } }).replace('"?"', nested(20_000))
}

/** A few of them, for the places that differ only in where the record stands. */
const names = ['null', 'a text', '{}', 'tokens that are a text', 'nested 20,000 deep']
const few = Object.fromEntries(names.map(what => [what, odd[what]!]))

const kinds = { tokens: /^oauth:[\w-]{32}$/, list: /^oauth:logins:/, pending: /^oauth:login:/ }

/** No answer tells of an inner error, and the log holds nothing of what stood in the store. */
function assertCalm (t: Test, browser: Browser, log: { lines: object[] }): void {
  const failed = browser.history.filter(({ status }) => status >= 500)
  t.strictSame(failed.map(({ url, status, text }) => ({ url, status, text })), [], 'no 5xx')
  t.notMatch(JSON.stringify(log.lines), SECRET.slice(0, 12))
}

/** Everything that reads a record. */
async function useAll (t: Test, { app, url, browser }: LoginApp, damage: (kind: RegExp) => Promise<unknown>) {
  await browser.login(`${url}/login/acme`)
  await damage(kinds.tokens)
  t.equal(codeOf(await browser.get(`${url}/tokens`, asJson)), 'FST_OAUTH_LOGIN_ENDED')
  await browser.login(`${url}/login/acme`)
  await damage(kinds.tokens)
  t.equal((await browser.get(`${url}/guarded`, asJson)).status, 401)
  await browser.login(`${url}/login/acme`)
  await damage(kinds.tokens)
  t.equal(codeOf(await browser.get(`${url}/refresh`, asJson)), 'FST_OAUTH_LOGIN_ENDED')
  await browser.login(`${url}/login/acme`)
  await damage(kinds.tokens)
  await browser.post(`${url}/logout`)
  t.equal((await browser.get(`${url}/guarded`, asJson)).status, 401)

  const back = await callbackUrl(browser, `${url}/login/acme`)
  await damage(kinds.pending)
  t.equal(codeOf(await browser.get(back, asJson)), 'FST_OAUTH_STATE_MISMATCH')

  await browser.login(`${url}/login/acme`)
  await damage(kinds.list)
  t.type(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 'number')
  await damage(kinds.list)
  const other = new Browser()
  await other.login(`${url}/login/acme`)
  t.equal((await other.get(`${url}/tokens`, asJson)).status, 200, 'another login of the same user')
  t.ok(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }) >= 1)
  t.equal((await other.get(`${url}/guarded`, asJson)).status, 401)
}

for (const [what, json] of Object.entries(odd)) {
  t.test(`${what}, in the session store`, async (t) => {
    const log = captureLog()
    const options = { setup: routes, fastify: { logger: log.logger }, session: { rolling: false } }
    const built = await loginApp(t, options)
    const { store } = built
    await useAll(t, built, async (kind) => {
      for (const [id, entry] of store.records) {
        if (!kind.test(id)) continue
        store.records.set(id, entry.replace(/"record":.*}$/s, () => `"record":${json}}`))
      }
    })
    assertCalm(t, built.browser, log)
  })
}

for (const [what, json] of Object.entries(few)) {
  t.test(`${what}, in place of the whole entry`, async (t) => {
    const log = captureLog()
    const built = await loginApp(t, { setup: routes, fastify: { logger: log.logger }, session: { rolling: false } })
    const { store } = built
    await useAll(t, built, async (kind) => {
      for (const id of store.records.keys()) if (kind.test(id)) store.records.set(id, json)
    })
    assertCalm(t, built.browser, log)
  })
}

t.test('a version in Redis that is not that of its data ends the login, and is not waited for', async (t) => {
  const setup = await loggedInApp(t, { processes: 2, setup: routes })
  if (setup === undefined) return
  const { client, key, expireTokens, browser, apps, refreshes } = setup
  await expireTokens()
  await client.hSet(key, 'v', '7')
  const page = await browser.get(`${apps[1]!.url}/orders`, asJson)
  t.equal(codeOf(page), 'FST_OAUTH_LOGIN_ENDED')
  t.equal(refreshes(), 0)
  await browser.login(`${apps[0]!.url}/login/acme`)
  t.equal((await browser.get(`${apps[1]!.url}/orders`)).status, 200)
})

/** A token store in memory that hands out what it is told to. */
class OddStore implements TokenStore {
  readonly records = new Map<string, unknown>()

  async get (id: string) { return this.records.get(id) as StoredRecord | undefined }
  async set (id: string, record: StoredRecord, { expectedVersion }: { expectedVersion?: number }) {
    const found = this.records.get(id)
    const version = (found as StoredRecord | undefined)?.version ?? 0
    if (expectedVersion !== undefined && version !== expectedVersion) return false
    this.records.set(id, JSON.parse(JSON.stringify(record)))
    return true
  }

  async consume (id: string) {
    const record = await this.get(id)
    this.records.delete(id)
    return record
  }

  async touch () {}
  async delete (id: string) { this.records.delete(id) }
}

t.test('encrypted records: other values in their place', async (t) => {
  const sealed = { 'a sealed one that is odd': `{"version":1,"provider":["${SECRET}"],"sealed":"x"}` }
  for (const [what, json] of Object.entries({ ...few, ...sealed })) {
    t.test(what, async (t) => {
      const log = captureLog()
      const tokenStore = new OddStore()
      const encryptionKeys = [randomBytes(32)]
      const oauth = { tokenStore, encryptionKeys }
      const built = await loginApp(t, {
        setup: routes, fastify: { logger: log.logger }, session: { rolling: false }, oauth
      })
      await useAll(t, built, async (kind) => {
        for (const id of tokenStore.records.keys()) {
          if (kind.test(`oauth:${id}`)) tokenStore.records.set(id, JSON.parse(json))
        }
      })
      assertCalm(t, built.browser, log)
    })
  }
})

t.test('Redis', async (t) => {
  const redis = await startRedis(t)
  if (redis === undefined) return
  const client = await createClient({ url: redis.url }).connect()
  t.after(() => client.destroy())
  const half = JSON.stringify(whole).slice(0, 90)
  const texts = { 'no JSON': SECRET, 'half of a record': half, 'an empty text': '', ...few }
  for (const [what, text] of Object.entries(texts)) {
    t.test(what, async (t) => {
      await client.flushAll()
      const log = captureLog()
      const oauth = { tokenStore: redisStore(client) }
      const built = await loginApp(t, {
        setup: routes, fastify: { logger: log.logger }, session: { rolling: false }, oauth
      })
      await useAll(t, built, async (kind) => {
        for (const key of await client.keys('*')) {
          if (!kind.test(key)) continue
          if (await client.hExists(key, 'd') === 1) await client.hSet(key, 'd', text)
          else for (const field of await client.hKeys(key)) await client.hSet(key, field, text)
        }
      })
      assertCalm(t, built.browser, log)
    })
  }
})

t.test('a session store that fails to parse its JSON: no part of it is in the log', async (t) => {
  const log = captureLog()
  class Unreadable extends JsonStore {
    broken = false
    override get (id: string, callback: Parameters<JsonStore['get']>[1]): void {
      if (!this.broken) return super.get(id, callback)
      try {
        JSON.parse(SECRET)
      } catch (error) {
        callback(error as Error)
      }
    }
  }
  const store = new Unreadable()
  const options = { setup: routes, fastify: { logger: log.logger }, session: { store } }
  const { url, browser } = await loggedInApp(t, { wrong: {}, ...options })
  store.broken = true
  t.equal(codeOf(await browser.get(`${url}/tokens`, asJson)), 'FST_OAUTH_STORE_UNAVAILABLE')
  t.notMatch(JSON.stringify([log.lines, browser.history.at(-1)?.text]), SECRET.slice(0, 10))
})

t.test('a record that cannot be read is logged once', async (t) => {
  const log = captureLog()
  const options = { setup: routes, fastify: { logger: log.logger }, session: { rolling: false } }
  const { url, browser, store } = await loggedInApp(t, { wrong: {}, ...options })
  for (const id of store.records.keys()) if (kinds.tokens.test(id)) store.records.set(id, '[]')
  const copy = browser.cookies
  for (let times = 0; times < 3; times++) {
    browser.cookies = copy
    await browser.get(`${url}/tokens`, asJson)
  }
  const told = log.lines.filter(line => (line as { kind?: string }).kind === 'tokens')
  t.equal(told.length, 1)
})
