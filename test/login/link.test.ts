import session from '@fastify/session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { Browser, type Page } from '../helpers/browser.ts'
import type { TestApp } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, asJson, callbackUrl, codeOf } from '../helpers/login-app.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { RedisSessionStore } from '../helpers/redis-session-store.ts'
import { JsonStore } from '../helpers/stores.ts'

// What a session's login is never changes under one session id: a link, a step-up and a disconnect are kept, whatever
// slower requests save, on every store, in one process and in several.

interface Stores {
  sessions: object[]
  tokenStores: (ReturnType<typeof redisStore> | undefined)[]
  /** Everything that is stored, as text. */
  dump(): Promise<string>
  /** Puts a session's stored value back to what it was. */
  remember(): Promise<(onto: string) => Promise<void>>
}

const kinds: Record<string, (t: Test) => Promise<Stores | undefined>> = {
  'the in-memory store': async () => {
    const store = new session.MemoryStore()
    const { store: kept } = store as unknown as { store: Map<string, unknown> }
    return {
      sessions: [store],
      tokenStores: [undefined],
      dump: async () => JSON.stringify([...kept]),
      remember: async () => {
        const [, old] = [...kept].find(([id, value]) => !id.startsWith('oauth:') && 'oauth' in (value as object))!
        const before = { ...old as object }
        return async onto => { kept.set(onto, { ...before }) }
      }
    }
  },
  'a store with get, set and destroy': async () => {
    const store = new JsonStore()
    return {
      sessions: [store],
      tokenStores: [undefined],
      dump: async () => JSON.stringify([...store.records]),
      remember: async () => {
        const [, old] = [...store.records].find(
          ([id, value]) => !id.startsWith('oauth:') && value.includes('"accounts"')
        )!
        return async onto => { store.records.set(onto, old) }
      }
    }
  },
  'Redis and two processes': async t => {
    const redis = await startRedis(t)
    if (redis === undefined) return undefined
    const clients = await Promise.all([0, 1].map(async () => await createClient({ url: redis.url }).connect()))
    t.after(() => {
      for (const client of clients) client.destroy()
    })
    const [client] = clients
    return {
      sessions: clients.map(client => new RedisSessionStore(client)),
      tokenStores: clients.map(client => redisStore(client)),
      dump: async () => {
        const sessions = await Promise.all((await client!.keys('session:*')).map(async key => await client!.get(key)))
        const records = await Promise.all((await client!.keys('oauth:*')).map(async key => await client!.hGetAll(key)))
        return JSON.stringify([sessions, records])
      },
      remember: async () => {
        const [key] = await client!.keys('session:*')
        const old = await client!.get(key!)
        return async onto => { await client!.set(`session:${onto}`, old!) }
      }
    }
  }
}

interface Setting {
  /** Apps on the same stores; as many as there are processes, one and the same twice otherwise. */
  first: TestApp
  second: TestApp
  acme: MisbehavingProvider
  gh: MisbehavingProvider
  browser: Browser
  slow: Gate
  stores: Stores
}

/** Alice, logged in at acme, with tea in her cart. */
async function start (
  t: Test,
  open: (t: Test) => Promise<Stores | undefined>,
  rolling = false,
  oauth = {}
): Promise<Setting | undefined> {
  const stores = await open(t)
  if (stores === undefined) return undefined
  const acme = await startMisbehavingProvider(t)
  const gh = await startMisbehavingProvider(t)
  for (const provider of [acme, gh]) provider.wrong = { metadata: { revocation_endpoint: provider.url('revocation') } }
  const slow = new Gate()
  const { sessions, tokenStores } = stores
  const options = (index: number, baseUrl?: string) => ({
    providers: () => ({ acme: acme.providerOptions, gh: gh.providerOptions, third: gh.providerOptions }),
    oauth: {
      ...(baseUrl !== undefined && { baseUrl }),
      ...(tokenStores[index] !== undefined && { tokenStore: tokenStores[index] }),
      ...oauth
    },
    session: { store: sessions[index] as never, rolling },
    setup: (app: FastifyInstance) => routes(app, slow)
  })
  const { browser, ...first } = await loggedInApp(t, { at: acme, ...options(0) })
  const second = sessions.length === 1 ? first : await appAt(t, acme, options(1, first.url))
  await browser.get(`${first.url}/write?cart=tea`)
  return { first, second, acme, gh, browser, slow, stores }
}

function routes (app: FastifyInstance, slow: Gate): void {
  app.get<{ Params: { name: string } }>('/link/:name', async (request, reply) =>
    request.oauth.login(reply, { provider: request.params.name, link: true, returnTo: '/who' })
  )
  app.get<{ Params: { name: string } }>('/disconnect/:name', async request => {
    await request.oauth.disconnect(request.params.name)
    return who(request)
  })
  app.get('/who', async request => await who(request))
  app.get('/slow/read', async () => {
    await slow.pass()
    return 'done'
  })
  app.get('/slow/write', async ({ session }) => {
    await slow.pass()
    session.set('visits' as never, 1 as never)
    return 'done'
  })
  app.get('/slow/call', async request => {
    await slow.pass()
    return {
      token: await request.oauth.tokens().then(() => true, () => false)
    }
  })
  app.get('/slow/accounts', async ({ oauth }) => {
    const { accounts } = oauth
    await slow.pass()
    const left = [accounts, oauth.accounts].map(list => list.map(({ provider }) => provider))
    return { left, authenticated: oauth.using('gh' as never).authenticated }
  })
  app.get('/write', async ({ session, query }) => {
    for (const [name, value] of Object.entries(query as object)) session.set(name as never, value as never)
    return 'written'
  })
  app.get('/id', async ({ session }) => session.sessionId)
  app.get('/circle', async ({ session }) => {
    const circle: { self?: object } = {}
    circle.self = circle
    session.set('circle' as never, circle as never)
    return 'a circle'
  })
  app.get('/remember', async ({ session }) => {
    session.cookie.maxAge = 86_400_000
    session.set('remember' as never, true as never)
    return 'remembered'
  })
  app.get('/renew', async ({ session }) => {
    await session.regenerate(['oauth', 'cart'])
    return 'renewed'
  })
  app.get('/destroy', async ({ session }) => {
    await session.destroy()
    return 'destroyed'
  })
  app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'passed')
}

/** The user who is logged in, the accounts whose tokens can be had, and what the app keeps. */
async function who ({ oauth, session }: FastifyRequest) {
  const accounts: string[] = []
  for (const { provider } of oauth.accounts) {
    accounts.push(provider)
    await oauth.using(provider).tokens()
  }
  return {
    user: oauth.user?.id ?? null,
    provider: oauth.provider ?? null,
    accounts: accounts.sort(),
    cart: session?.get('cart' as never) ?? null
  }
}

const asked = async (browser: Browser, url: string) => (await browser.get(`${url}/who`, asJson)).json()
const logged = (...accounts: string[]) => ({ user: 'alice', provider: 'acme', accounts, cart: 'tea' })
const loggedOut = { user: null, provider: null, accounts: [], cart: null }
const idOf = (browser: Browser) => decodeURIComponent(browser.cookie('sessionId')!).split('.')[0]!

for (const [kind, open] of Object.entries(kinds)) {
  t.test(kind, async t => {
    for (const [change, name, accounts] of [
      ['a link', 'gh', ['acme', 'gh']],
      ['a step-up', 'acme', ['acme']]
    ] as const) {
      for (const [what, rolling, path] of [
        ['only reads', true, '/slow/read'],
        ['writes', false, '/slow/write'],
        ['calls', true, '/slow/call']
      ] as const) {
        t.test(`race: ${change} is not undone by a slower request that ${what}`, async t => {
          const setting = await start(t, open, rolling)
          if (setting === undefined) return
          const { first, second, browser, slow } = setting
          const before = idOf(browser)
          const callback = await callbackUrl(browser, `${first.url}/link/${name}`)
          const late = browser.get(second.url + path)
          await slow.arrived
          t.strictSame((await browser.get(callback)).json(), logged(...accounts))
          const after = idOf(browser)
          t.not(after, before, 'the session has a new id')
          slow.release()
          t.equal((await late).headers['set-cookie'], undefined)
          t.equal(idOf(browser), after)
          for (const { url } of [first, second]) {
            t.strictSame(await asked(browser, url), logged(...accounts))
            t.equal((await browser.get(`${url}/guarded`, asJson)).text, 'passed')
          }
          t.notMatch(await setting.stores.dump(), `"${before}"`, 'the session before is gone')
        })
      }
    }

    t.test('race: a disconnect is not undone by a slower request', async t => {
      const setting = await start(t, open, true)
      if (setting === undefined) return
      const { first, second, gh, browser, slow, stores } = setting
      await browser.get(`${first.url}/link/gh`)
      const before = idOf(browser)
      const late = browser.get(`${second.url}/slow/write`)
      await slow.arrived
      t.strictSame((await browser.get(`${first.url}/disconnect/gh`)).json(), logged('acme'))
      t.not(idOf(browser), before)
      slow.release()
      await late
      t.strictSame(await asked(browser, first.url), logged('acme'))
      t.strictSame(await asked(browser, second.url), logged('acme'))
      t.equal(gh.asked('revocation').length, 2, 'its tokens are revoked')
      const dump = await stores.dump()
      t.strictSame(gh.secrets.filter(secret => dump.includes(secret)), [], 'and deleted')
    })

    for (const firstBack of ['gh', 'acme']) {
      for (const together of [true, false]) {
        for (const lastHandled of ['first', 'second']) {
          t.test(
            'two tabs, a link and a step-up, come back ' +
              `${together ? 'at the same moment' : `with the same cookies, ${firstBack} first`}; the browser ` +
              `handles the ${lastHandled} response last`,
            async t => {
              const setting = await start(t, open)
              if (setting === undefined) return
              const { first, second, browser } = setting
              const callbacks: Record<string, string> = {}
              for (const name of ['gh', 'acme']) {
                callbacks[name] = await callbackUrl(browser, `${first.url}/link/${name}`)
              }
              const names = firstBack === 'gh' ? ['gh', 'acme'] : ['acme', 'gh']
              const tabs = [browser.copy(), browser.copy()]
              const load = (index: number) =>
                tabs[index]!.get(callbacks[names[index]!]!.replace(first.url, [first, second][index]!.url), {
                  redirect: 'manual'
                })
              const answers: Page[] = []
              if (together) answers.push(...(await Promise.all([load(0), load(1)])))
              else answers.push(await load(0), await load(1))
              t.strictSame(answers.map(({ status }) => status), [302, 302])
              for (const answer of lastHandled === 'second' ? answers : answers.reverse()) {
                browser.jar.store(new URL(first.url), answer.headers['set-cookie'] ?? [])
              }
              for (const { url } of [first, second, first]) {
                t.strictSame(await asked(browser, url), logged('acme', 'gh'))
              }
              await browser.post(`${first.url}/logout`, { from: first.url })
              await assertOver(t, setting, browser, ...tabs)
            }
          )
        }
      }
    }

    t.test('race: a tab that comes back after the browser has used the session of another tab', async t => {
      const setting = await start(t, open)
      if (setting === undefined) return
      const { first, second, browser, slow, gh } = setting
      const link = await callbackUrl(browser, `${first.url}/link/gh`)
      const stepUp = await callbackUrl(browser, `${first.url}/link/acme`)
      const exchange = new Gate()
      gh.wrong = { ...gh.wrong, instead: { token: () => exchange.pass() } }
      const late = browser.copy()
      const answer = late.get(link.replace(first.url, second.url), { redirect: 'manual' })
      await exchange.arrived
      await browser.get(stepUp)
      await browser.get(`${first.url}/write?cart=coffee`)
      const reading = browser.get(`${first.url}/slow/write`)
      await slow.arrived
      exchange.release()
      browser.jar.store(new URL(first.url), (await answer).headers['set-cookie'] ?? [])
      slow.release()
      await reading
      t.strictSame(await asked(browser, first.url), { ...logged('acme', 'gh'), cart: 'coffee' })
      t.strictSame(await asked(browser, second.url), { ...logged('acme', 'gh'), cart: 'coffee' })
    })

    t.test('race: two links that were both begun before a callback are both added', async t => {
      const setting = await start(t, open)
      if (setting === undefined) return
      const { first, browser } = setting
      const callbacks = [
        await callbackUrl(browser, `${first.url}/link/gh`),
        await callbackUrl(browser, `${first.url}/link/third`)
      ]
      for (const callback of callbacks) await browser.get(callback)
      t.strictSame(await asked(browser, first.url), logged('acme', 'gh', 'third'))
    })

    t.test(
      'a cookie stolen before a step-up is useless after it, also with a link that was begun with it',
      async t => {
        const setting = await start(t, open)
        if (setting === undefined) return
        const { first, second, browser } = setting
        const thief = browser.copy()
        const callback = await callbackUrl(thief, `${first.url}/link/gh`)
        await browser.get(`${first.url}/link/acme`)
        const page = await thief.get(callback.replace(first.url, second.url), asJson)
        t.strictSame([page.status, codeOf(page)], [400, 'FST_OAUTH_STATE_MISMATCH'])
        t.match(await asked(thief, second.url), { user: null })
        t.strictSame(await asked(browser, first.url), logged('acme'))
      }
    )

    for (const [how, path] of Object.entries({
      'the app writes': '/slow/write',
      'its stored value is set back': undefined
    })) {
      t.test(`a logout after a link leaves no token, though ${how} meanwhile`, async t => {
        const setting = await start(t, open)
        if (setting === undefined) return
        const { first, second, browser, slow, stores } = setting
        const setBack = await stores.remember()
        const late = path === undefined ? undefined : browser.get(second.url + path)
        if (late !== undefined) await slow.arrived
        await browser.get(`${first.url}/link/gh`)
        slow.release()
        await late
        if (path === undefined) await setBack(idOf(browser))
        const copy = browser.copy()
        t.equal((await browser.post(`${first.url}/logout`, { from: first.url, redirect: 'manual' })).status, 302)
        await assertOver(t, setting, browser, copy)
      })
    }

    for (const [how, end] of Object.entries({
      'a logout': '/logout',
      "a logout of the app's own, which destroys the session": '/destroy'
    })) {
      t.test(`a link that comes back during ${how} leaves no token, and no login`, async t => {
        const setting = await start(t, open)
        if (setting === undefined) return
        const { first, second, gh, browser } = setting
        const callback = await callbackUrl(browser, `${first.url}/link/gh`)
        const exchange = new Gate()
        gh.wrong = { ...gh.wrong, instead: { token: () => exchange.pass() } }
        const late = browser.copy()
        const answer = late.get(callback.replace(first.url, second.url), { redirect: 'manual', ...asJson })
        await exchange.arrived
        if (end === '/logout') await browser.post(first.url + end)
        else await browser.get(first.url + end)
        exchange.release()
        t.strictSame([(await answer).status, codeOf(await answer)], [400, 'FST_OAUTH_STATE_MISMATCH'])
        await assertOver(t, setting, browser, late)
        await second.app.close()
        t.equal(gh.asked('revocation').length, 2, 'what came is revoked')
      })
    }

    for (const provider of ['acme', 'gh']) {
      t.test(`logoutUser of the user at ${provider} ends the login with all of its accounts`, async t => {
        const setting = await start(t, open)
        if (setting === undefined) return
        const { first, second, browser } = setting
        await browser.get(`${first.url}/link/gh`)
        await browser.get(`${first.url}/link/acme`)
        t.equal(await second.app.oauth.logoutUser({ provider, subject: 'alice' }), 1)
        await assertOver(t, setting, browser)
      })
    }
  })
}

/** None of these cookies logs in, and no token is stored. */
async function assertOver (
  t: Test,
  { first, second, acme, gh, stores }: Setting,
  ...browsers: Browser[]
): Promise<void> {
  for (const browser of browsers) {
    for (const { url } of [first, second]) {
      const copy = browser.copy()
      t.strictSame(await asked(copy, url), loggedOut)
      t.equal((await copy.get(`${url}/guarded`, asJson)).status, 401)
    }
  }
  const dump = await stores.dump()
  const tokens = [acme, gh].flatMap(({ secrets }) => secrets)
  t.strictSame(tokens.filter(secret => dump.includes(secret)), [], 'no token is left in the store')
}

const inMemory = kinds['a store with get, set and destroy']!

t.test('the account that was logged in with cannot be disconnected', async t => {
  const { first: { url }, browser } = (await start(t, inMemory))!
  await browser.get(`${url}/link/gh`)
  const id = idOf(browser)
  const page = await browser.get(`${url}/disconnect/acme`, asJson)
  t.strictSame([page.status, page.json().code], [409, 'FST_OAUTH_ACTIVE_ACCOUNT'])
  t.match(page.json().message, /log out/)
  t.strictSame(await asked(browser, url), logged('acme', 'gh'))
  t.equal(idOf(browser), id)
})

t.test(
  'disconnect does nothing for a missing account, and fails for an unknown provider and in an anonymous request',
  async t => {
    const { first: { url }, browser } = (await start(t, inMemory))!
    const id = idOf(browser)
    t.strictSame((await browser.get(`${url}/disconnect/gh`)).json(), logged('acme'))
    t.equal(idOf(browser), id)
    t.equal((await browser.get(`${url}/disconnect/nowhere`, asJson)).status, 404)
    t.equal(codeOf(await new Browser().get(`${url}/disconnect/gh`, asJson)), 'FST_OAUTH_LOGIN_REQUIRED')
  }
)

t.test('a provider that does not answer a revocation holds no disconnect up', async t => {
  const log = captureLog()
  const { run, link, provider } = await loggedInApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    fastify: { logger: log.logger }
  })
  await link('other')
  const gate = provider.endpoints.revocation.hold()
  await run(oauth => oauth.disconnect('other'))
  t.equal(gate.arrivals.length, 1)
  t.notMatch(log.text, 'tokens_not_revoked', 'the request is still under way')
  gate.release()
})

t.test('race: two accounts that are disconnected at the same moment are both gone', async t => {
  const { first: { url }, browser } = (await start(t, inMemory))!
  await browser.get(`${url}/link/gh`)
  await browser.get(`${url}/link/third`)
  await Promise.all([browser.get(`${url}/disconnect/gh`), browser.get(`${url}/disconnect/third`)])
  t.strictSame(await asked(browser, url), logged('acme'))
})

t.test('a request under way sees at once that an account is disconnected', async t => {
  const { first: { url }, browser, slow } = (await start(t, inMemory))!
  await browser.get(`${url}/link/gh`)
  const answer = browser.get(`${url}/slow/accounts`)
  await slow.arrived
  await browser.get(`${url}/disconnect/gh`)
  slow.release()
  t.strictSame((await answer).json(), { left: [['acme', 'gh'], ['acme']], authenticated: false })
})

t.test('a link whose session cannot be saved changes nothing: 503, and the login before goes on', async t => {
  const store = new JsonStore()
  const setting = (await start(t, async () => ({
    sessions: [store],
    tokenStores: [undefined],
    dump: async () => '',
    remember: async () => async () => {}
  })))!
  const { first: { url }, browser, gh } = setting
  const callback = await callbackUrl(browser, `${url}/link/gh`)
  const saving = store.holdNext('set', id => !id.includes(':'))
  const answer = browser.get(callback, asJson)
  await saving.arrived
  store.fail.set = true
  saving.release()
  t.strictSame([(await answer).status, codeOf(await answer)], [503, 'FST_OAUTH_STORE_UNAVAILABLE'])
  store.fail.set = false
  t.strictSame(await asked(browser, url), logged('acme'))
  t.strictSame(gh.secrets.filter(secret => [...store.records.values()].join().includes(secret)), [])
})

t.test(
  'an account can be added and taken away after the app has renewed the session and taken the login along',
  async t => {
    const setting = (await start(t, inMemory))!
    const { first: { url }, browser, slow } = setting
    await browser.get(`${url}/link/gh`)
    const late = browser.get(`${url}/slow/write`)
    await slow.arrived
    await browser.get(`${url}/renew`)
    slow.release()
    await late
    t.strictSame(await asked(browser, url), logged('acme', 'gh'))
    await browser.get(`${url}/link/third`)
    t.strictSame(await asked(browser, url), logged('acme', 'gh', 'third'))
    await browser.get(`${url}/renew`)
    await browser.get(`${url}/disconnect/gh`)
    t.strictSame(await asked(browser, url), logged('acme', 'third'))
    await browser.post(`${url}/logout`)
    await assertOver(t, setting, browser)
  }
)

t.test('an account is added to a session of the in-memory store that cannot be written as JSON', async t => {
  const { first: { url }, browser } = (await start(t, kinds['the in-memory store']!))!
  const callback = await callbackUrl(browser, `${url}/link/gh`)
  await browser.get(`${url}/circle`)
  await browser.get(callback)
  t.strictSame(await asked(browser, url), logged('acme', 'gh'))
})

t.test('a session cookie whose maxAge the app set keeps it when an account is added', async t => {
  const { first: { url }, browser } = (await start(t, inMemory))!
  await browser.get(`${url}/remember`)
  await browser.get(`${url}/link/gh`)
  const [cookie] = browser.history
    .flatMap(({ headers }) => headers['set-cookie'] ?? [])
    .filter(line => line.startsWith('sessionId='))
    .slice(-1)
  const [, expires] = /Expires=([^;]+)/.exec(cookie!)!
  t.ok(new Date(expires!).getTime() > Date.now() + 86_000_000, expires!)
})
