import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Gate } from '../helpers/gate.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, callbackUrl, codeOf } from '../helpers/login-app.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'

// An account that is added while its login ends, or while the store fails in the middle.

type Callback = (error?: Error | null) => void

/** A store that does not take entries of some ids. */
class PickyStore extends JsonStore {
  refused: RegExp | undefined

  override set (id: string, session: object, callback: Callback): void {
    if (this.refused?.test(id) !== true) super.set(id, session, callback)
    else setImmediate(callback, new Error('not taken'))
  }
}

async function start (t: Test) {
  const acme = await startMisbehavingProvider(t)
  const gh = await startMisbehavingProvider(t)
  const store = new PickyStore()
  const slow = new Gate()
  const app = await loggedInApp(t, {
    at: acme,
    providers: () => ({ acme: acme.providerOptions, gh: gh.providerOptions }),
    session: { store: store as never, rolling: false },
    setup: (app: FastifyInstance) => {
      app.get('/link', (request, reply) => request.oauth.login(reply, { provider: 'gh', link: true }))
      app.get('/cart', async ({ session }) => { session.set('cart' as never, 'tea' as never) })
      app.get('/accounts', async ({ oauth }) => oauth.accounts.map(({ provider }) => provider))
      app.get('/slow-logout', async ({ oauth }) => {
        await slow.pass()
        await oauth.logout()
      })
    }
  })
  const accounts = async () => (await app.browser.get(`${app.url}/accounts`)).json<string[]>()
  const sessions = () => [...store.records].filter(([id]) => !id.startsWith('oauth:')).map(([, text]) => text)
  return { ...app, store, slow, accounts, sessions }
}

t.test('a link whose old session cannot be marked as replaced changes nothing, and can be made again', async (t) => {
  const { browser, url, store, accounts, sessions, userOf } = await start(t)
  const callback = await callbackUrl(browser, `${url}/link`)
  store.refused = /^oauth:dead:/
  t.equal((await browser.get(callback, asJson)).status, 503)
  store.refused = undefined
  t.equal(await userOf(browser), 'alice')
  t.strictSame(await accounts(), ['acme'])
  t.equal(sessions().length, 1, 'no further session is left')
  t.equal(tokenRecords(store).size, 1)
  await browser.get(`${url}/link`)
  t.strictSame((await accounts()).sort(), ['acme', 'gh'])
})

t.test('no account is added to a login whose tokens have gone meanwhile', async (t) => {
  const { browser, url, store } = await start(t)
  const callback = await callbackUrl(browser, `${url}/link`)
  for (const id of tokenRecords(store).keys()) store.records.delete(id)
  const answer = await browser.get(callback, asJson)
  t.equal(answer.status, 400)
  t.equal(codeOf(answer), 'FST_OAUTH_STATE_MISMATCH')
  t.equal(tokenRecords(store).size, 0)
})

t.test('a logout by a request from before a link ends the session that the link has made', async (t) => {
  const { browser, url, store, slow, sessions } = await start(t)
  await browser.get(`${url}/cart`)
  const logout = browser.copy().get(`${url}/slow-logout`)
  await slow.arrived
  await browser.get(`${url}/link`)
  slow.release()
  t.equal((await logout).status, 200)
  t.strictSame(sessions(), [], 'what the app kept for the user is gone too')
  t.equal(tokenRecords(store).size, 0)
})
