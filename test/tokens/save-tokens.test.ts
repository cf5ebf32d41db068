import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { TokensUpdatedError, type PluginOptions } from '../../lib/index.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import { Gate } from '../helpers/gate.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// request.oauth.save() beside refreshes of other requests and processes: whichever set is written, the refresh token
// that the provider takes next is never lost.

async function saveApp (t: Test, oauth: Partial<PluginOptions>, setup: (app: FastifyInstance) => void) {
  const cluster = await loggedInApp(t, { processes: 2, oauth, setup })
  if (cluster === undefined) return undefined
  const { apps, browser, client, key } = cluster
  const stored = async () => JSON.parse((await client.hGet(key, 'd')) ?? '{}')
  return {
    ...cluster,
    get: (index: number, path: string) => browser.get(`${apps[index]!.url}${path}`),
    /** Makes both the current and the pending set expire. */
    expireAll: async () => {
      const record = await stored()
      for (const set of [record.tokens, record.pendingTokens]) if (set !== undefined) set.expiresAt = 1
      await client.hSet(key, 'd', JSON.stringify(record))
    },
    refreshToken: async () => {
      const { pendingTokens, tokens } = await stored()
      return (pendingTokens ?? tokens).refreshToken as string
    }
  }
}

t.test('notify: a set that was saved too late does not take the place of the one that came after it', async t => {
  const saving = new Gate()
  const setup = await saveApp(t, { refresh: 'notify' }, app => {
    app.get('/late', async request => {
      const error = await request.oauth.get('orders').json().catch((error: unknown) => error)
      if (!(error instanceof TokensUpdatedError)) throw error
      await saving.pass()
      await request.oauth.save(error.tokens!)
      return 'saved'
    })
    app.get('/notified', async request => {
      const error = await request.oauth.get('orders').json().catch((error: unknown) => error)
      if (error instanceof TokensUpdatedError) await request.oauth.save(error.tokens!)
      return request.oauth.get('orders').json()
    })
  })
  if (setup === undefined) return
  const { provider, get, expireAll, refreshToken } = setup
  await expireAll()
  const late = get(0, '/late')
  await saving.arrived
  await expireAll()
  t.match((await get(1, '/orders')).json(), { code: 'FST_OAUTH_TOKENS_UPDATED' })
  const newest = await refreshToken()
  saving.release()
  t.equal((await late).text, 'saved')
  t.equal(await refreshToken(), newest)
  t.equal((await get(0, '/notified')).status, 200)
  await expireAll()
  t.equal((await get(1, '/notified')).status, 200)
  t.equal(provider.refreshTokenReuses, 0)
})

for (const process of [0, 1]) {
  t.test(
    `a save while ${process === 0 ? 'its own' : 'another'} process refreshes waits, and leaves the rotated token ` +
      'in place',
    async t => {
      const saving = new Gate()
      const setup = await saveApp(t, {}, app => {
        app.get('/save', async request => {
          const tokens = await request.oauth.tokens()
          await saving.pass()
          await request.oauth.save({ ...tokens, accessToken: 'another' })
          return 'saved'
        })
      })
      if (setup === undefined) return
      const { provider, get, expireAll, refreshToken } = setup
      const save = get(0, '/save')
      await saving.arrived
      await expireAll()
      const answer = provider.holdTokenEndpoint({ afterwards: true })
      const call = get(process, '/orders')
      await answer.arrived
      saving.release()
      // Nothing is written before the answer is there: one round trip of Redis would have been enough.
      for (let turn = 0; turn < 5; turn++) await setup.client.ping()
      answer.release()
      t.equal((await call).status, 200)
      t.equal((await save).text, 'saved')
      t.equal(await refreshToken(), (answer.arrivals[0]!.answer!.body as { refresh_token: string }).refresh_token)
      await expireAll()
      t.equal((await get(1, '/orders')).status, 200)
      t.equal(provider.refreshTokenReuses, 0)
    }
  )
}

t.test("a save while a token is refreshed waits on the session's own store too, which has no lease", async t => {
  const saving = new Gate()
  const { provider, browser, url, store, orders } = await loggedInApp(t, {
    setup: app => {
      app.get('/save', async request => {
        const tokens = await request.oauth.tokens()
        await saving.pass()
        await request.oauth.save({ ...tokens, accessToken: 'another' })
        return 'saved'
      })
    }
  })
  const save = browser.get(`${url}/save`)
  await saving.arrived
  expireTokens(store)
  const answer = provider.holdTokenEndpoint({ afterwards: true })
  const call = orders()
  await answer.arrived
  saving.release()
  // Time enough to write before the answer is there.
  for (let turn = 0; turn < 3; turn++) await browser.get(url)
  answer.release()
  t.equal((await call).status, 200)
  t.equal((await save).text, 'saved')
  const { refresh_token: rotated } = answer.arrivals[0]!.answer!.body as { refresh_token: string }
  t.equal([...tokenRecords(store).values()][0]!.tokens.refreshToken, rotated)
})

t.test('a set from elsewhere becomes the current one as it is', async t => {
  const setup = await saveApp(t, {}, app => {
    app.get('/restore', async request => {
      const tokens = await request.oauth.tokens()
      await request.oauth.save({ ...tokens, refreshToken: 'from elsewhere' })
      return 'saved'
    })
  })
  if (setup === undefined) return
  const { get, refreshToken } = setup
  await get(0, '/restore')
  t.equal(await refreshToken(), 'from elsewhere')
})

t.test('a logout while a set is saved stays a logout', async t => {
  const writing = new Gate()
  let isSaving = false
  const tokenStore = wrappedStore(new MemoryTokenStore(), store => ({
    set: async (...args) => {
      const isWritten = await store.set(...args)
      if (isSaving) await writing.pass()
      return isWritten
    }
  }))
  const { browser, url, run } = await loggedInApp(t, { oauth: { tokenStore } })
  const saved = run(async oauth => {
    const tokens = await oauth.tokens()
    isSaving = true
    await oauth.save({ ...tokens, accessToken: 'another' })
  })
  await writing.arrived
  isSaving = false
  await browser.logout(`${url}/logout`)
  writing.release()
  await t.rejects(saved, { code: 'FST_OAUTH_LOGIN_ENDED' })
})
