import { MemoryStore } from '@fastify/session'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { PluginOptions, RequestOAuth } from '../../lib/index.ts'
import { createProvider } from '../../lib/index.ts'
import { deferred, Gate } from '../helpers/gate.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { expireTokens } from '../helpers/records.ts'
import { tokenSet } from '../helpers/token-process.ts'

// What `onTokens` does while it runs, and what goes on after it.

/** Alice, logged in at acme with an account at gh. */
async function connected (
  t: Test, onTokens: NonNullable<PluginOptions['onTokens']>, setup: (app: FastifyInstance) => void = () => {}
) {
  const gh = await startMisbehavingProvider(t)
  const { provider: acme, link, ...app } = await loggedInApp(t, {
    wrong: {},
    providers: ({ providerOptions }) => ({ acme: providerOptions, gh: gh.providerOptions }),
    oauth: { defaultProvider: 'acme', onTokens },
    setup
  })
  await link('gh')
  t.strictSame(await app.run(oauth => oauth.accounts.map(({ provider }) => provider)), ['acme', 'gh'])
  return { ...app, acme, gh }
}

t.test('after onTokens has ended, work that it started and did not await may refresh', async (t) => {
  const over = deferred()
  const outcome = deferred<string>()
  let app: FastifyInstance | undefined
  const { acme, store, run } = await connected(t, (tokens, { provider, reason }) => {
    if (provider !== 'acme' || reason !== 'login') return
    const session = app!.oauth.provider('acme').session({ tokens })
    const job = async () => {
      await over.promise
      const { accessToken } = await session.tokens()
      return accessToken === tokens.accessToken ? 'the same' : 'a new one'
    }
    job().then(outcome.resolve, outcome.reject)
  }, (learned) => { app = learned })
  expireTokens(store)
  await run(() => 'loaded')
  over.resolve()
  t.equal(await outcome.promise, 'a new one')
  t.equal(acme.refreshRequests.length, 1)
})

t.test('hooks of two accounts that ask for each other\'s tokens do not wait for each other', async (t) => {
  let oauth: RequestOAuth | undefined
  const seen: string[] = []
  const { acme, gh, store, page } = await connected(t, async (_tokens, { provider, reason }) => {
    if (reason !== 'refresh') return
    if (provider === 'acme') await oauth!.using('gh').refresh()
    else seen.push((await oauth!.using('acme').tokens()).tokenType)
  })
  expireTokens(store)
  const answer = await page(async (given) => {
    oauth = given
    return await given.refresh()
  })
  t.equal(answer.status, 200)
  t.strictSame(seen, ['Bearer'])
  t.equal(acme.refreshRequests.length, 1)
  t.equal(gh.refreshRequests.length, 1)
})

t.test('two refreshes whose hooks refresh each other\'s account at the same moment both come to an end', async (t) => {
  let oauth: RequestOAuth | undefined
  const inside = { acme: deferred(), gh: deferred() }
  const { acme, gh, store, page } = await connected(t, async (_tokens, { provider, reason }) => {
    if (reason !== 'refresh') return
    inside[provider as 'acme' | 'gh'].resolve()
    await Promise.all([inside.acme.promise, inside.gh.promise])
    await oauth!.using(provider === 'acme' ? 'gh' : 'acme').refresh()
  })
  expireTokens(store)
  const answer = await page(async (given) => {
    oauth = given
    await Promise.all([given.using('acme').refresh(), given.using('gh').refresh()])
  })
  t.equal(answer.status, 200)
  t.ok(acme.refreshRequests.length >= 1 && gh.refreshRequests.length >= 1)
})

t.test('a hook that asks for tokens whose read another hook has begun does not wait for itself', async (t) => {
  let oauth: RequestOAuth | undefined
  const inside = { acme: deferred(), gh: deferred() }
  const asked = deferred()
  const { page } = await connected(t, async (_tokens, { provider, reason }) => {
    if (reason !== 'refresh') return
    inside[provider as 'acme' | 'gh'].resolve()
    await Promise.all([inside.acme.promise, inside.gh.promise])
    if (provider === 'gh') await asked.promise
    const answer = oauth!.using('gh').tokens()
    asked.resolve()
    await answer
  })
  const answer = await page(async (given) => {
    oauth = given
    await Promise.all([given.using('acme').refresh(), given.using('gh').refresh()])
  })
  t.equal(answer.status, 200)
})

t.test('a hook that throws null or undefined fails the refresh with that, and the new tokens are kept', async (t) => {
  for (const thrown of [null, undefined]) {
    let isThrowing = false
    const { acme, run } = await connected(t, () => {
      if (isThrowing) throw thrown
    })
    isThrowing = true
    const outcome = await run(oauth => oauth.refresh().then(() => 'refreshed', (error: unknown) => ({ error })))
    t.strictSame(outcome, { error: thrown })
    isThrowing = false
    await run(oauth => oauth.refresh())
    const [first, second] = acme.refreshRequests.map(({ form }) => form.get('refresh_token'))
    t.not(first, second)
  }
})

t.test('hooks of two headless sessions that ask for each other\'s tokens do not wait for each other', async (t) => {
  let issued = 0
  const provider = await startMisbehavingProvider(t, {
    instead: { token: () => ({ body: { access_token: `a${++issued}`, token_type: 'Bearer', expires_in: 3600 } }) }
  })
  const headless = createProvider({ ...provider.staticOptions })
  t.after(() => headless.close())
  const inside = [deferred(), deferred()]
  const sessions = [0, 1].map(index => headless.session({
    tokens: tokenSet(`r${index}`, 1),
    onTokens: async () => {
      inside[index]!.resolve()
      await Promise.all(inside.map(({ promise }) => promise))
      await sessions[1 - index]!.tokens()
    }
  }))
  await Promise.all(sessions.map(session => session.refresh()))
  t.equal(provider.asked('token').length, 2)
})

t.test('a hook that waited for another account is waited for by that one later', async (t) => {
  let oauth: RequestOAuth | undefined
  let asks: 'acme' | 'gh' | undefined
  const { acme, gh, run } = await connected(t, async (_tokens, { provider, reason }) => {
    if (reason !== 'refresh' || provider !== asks) return
    asks = undefined
    await oauth!.using(provider === 'acme' ? 'gh' : 'acme').refresh()
  })
  for (const name of ['acme', 'gh'] as const) {
    asks = name
    await run(async (given) => {
      oauth = given
      await given.using(name).refresh()
    })
  }
  t.equal(acme.refreshRequests.length, 2)
  t.equal(gh.refreshRequests.length, 2)
})

t.test('a hook that saves the set that it was called for does not wait for itself', async (t) => {
  let oauth: RequestOAuth | undefined
  const { run, acme } = await connected(t, async (tokens, { reason }) => {
    if (reason === 'refresh') await oauth!.save(tokens)
  })
  const { recordId: _record, ...set } = await run(async (given) => {
    oauth = given
    return await given.refresh()
  })
  t.match(set, { accessToken: String })
  t.equal(acme.refreshRequests.length, 1)
})

for (const [kind, store] of [['a store that serializes', undefined], ['in memory', new MemoryStore()]] as const) {
  t.test(`${kind}: no call uses a refreshed set before its hook has ended`, async (t) => {
    const hook = new Gate()
    const { browser, run, orders, requests, userOf } = await loggedInApp(t, {
      ...store !== undefined && { session: { store } },
      oauth: { onTokens: async (_tokens, { reason }) => { if (reason === 'refresh') await hook.pass() } }
    })
    const refreshed = run(oauth => oauth.refresh())
    await hook.arrived
    const call = orders()
    // What a call that does not wait needs, and more.
    for (let trip = 0; trip < 5; trip++) await userOf(browser)
    t.strictSame(requests, [])
    hook.release()
    await refreshed
    t.equal((await call).status, 200)
  })
}
