import t from 'tap'
import { Signer } from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import { Browser } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, loginApp } from '../helpers/login-app.ts'

// Which session cookie a browser is left with by answers that come late, and which cookies are none of the plugin's
// business.

const NEW_SECRET = 'a newer secret of the tests, also with 32 characters'

/** A route that waits for the gate and writes, one that writes at once, one that clears a cookie of the app's own. */
function routes (slow: Gate) {
  return (app: FastifyInstance) => {
    app.get('/slow', async ({ session }) => {
      await slow.pass()
      session.set('visits' as never, 1 as never)
      return 'done'
    })
    app.get('/write', async ({ session }) => {
      session.set('visits' as never, 1 as never)
      return session.sessionId
    })
    app.get('/forget', async (_request, reply) => reply.clearCookie('remember', { path: '/' }).send('forgotten'))
  }
}

for (const cookiePrefix of ['', 's:', 'app-']) {
  t.test(
    `a login after the session secret was rotated is not undone by a slower request (prefix "${cookiePrefix}")`,
    async t => {
      const slow = new Gate()
      const before = await loginApp(t, { session: { cookiePrefix }, setup: routes(slow) })
      const { browser, provider, store } = before
      const after = await appAt(t, provider, {
        session: { store, cookiePrefix, secret: [NEW_SECRET, SESSION_SECRET] },
        setup: routes(slow)
      })
      const old = (await browser.get(`${before.url}/write`)).text
      const answer = browser.get(`${after.url}/slow`)
      await slow.arrived
      await browser.login(`${after.url}/login/acme`)
      slow.release()
      await answer
      t.strictSame((await browser.get(after.url)).json(), { user: 'alice' })
      t.notOk(store.records.has(old), 'the session before has ended')
    }
  )
}

t.test('a login outlives a rotation of the session secret, and ends with a logout', async (t) => {
  const { browser, provider, store } = await loggedInApp(t, { wrong: {}, session: { rolling: false } })
  const after = await appAt(t, provider, { session: { store, rolling: false, secret: [NEW_SECRET, SESSION_SECRET] } })
  const cookie = browser.cookie('sessionId')
  for (let times = 0; times < 2; times++) t.strictSame((await browser.get(after.url)).json(), { user: 'alice' })
  t.equal(browser.cookie('sessionId'), cookie)
  await browser.post(`${after.url}/logout`)
  t.equal(browser.cookie('sessionId'), undefined)
  t.strictSame((await browser.get(after.url)).json(), { user: null })
})

for (const down of [false, true]) {
  // The last one as the app signs it with the secret of its sessions.
  for (const value of ['user.12345', 'plain', new Signer(SESSION_SECRET).sign('user')]) {
    t.test(
      `the app clears a cookie of its own with value "${value}" while the token store is ${down ? 'down' : 'up'}`,
      async t => {
        const tokenStore = new MemoryTokenStore()
        if (down) {
          for (const method of ['get', 'set', 'consume', 'touch', 'delete'] as const) {
            tokenStore[method] = async () => { throw new Error('down') }
          }
        }
        const { browser, url } = await loginApp(t, { oauth: { tokenStore }, setup: routes(new Gate()) })
        const headers = { cookie: `remember=${encodeURIComponent(value)}` }
        t.match((await browser.get(`${url}/forget`, { headers })).headers['set-cookie'], [/^remember=;/])
      }
    )
  }
}

for (const rolling of [true, false]) {
  t.test(
    `an anonymous session does not replace a login that came after its request (rolling ${rolling})`,
    async t => {
      const slow = new Gate()
      const { browser, url, store } = await loggedInApp(t, { wrong: {}, session: { rolling }, setup: routes(slow) })
      const copy = browser.copy()
      await browser.post(`${url}/logout`)
      // Sent with the cookie of before the logout, and loaded after it: to the session plugin a new visitor.
      const answer = copy.get(`${url}/slow`)
      await slow.arrived
      await browser.login(`${url}/login/acme`)
      const sessions = [...store.records.keys()].filter(id => !id.includes(':'))
      slow.release()
      t.equal((await answer).headers['set-cookie'], undefined)
      t.strictSame(
        [...store.records.keys()].filter(id => !id.includes(':')),
        sessions,
        'nor does it stay in the store'
      )
      t.strictSame((await browser.get(url)).json(), { user: 'alice' })
    }
  )

  t.test(
    `a request sent before a login, and handled after it, does not replace the login (rolling ${rolling})`,
    async t => {
      const { browser, url } = await loginApp(t, { session: { rolling }, setup: routes(new Gate()) })
      await browser.get(`${url}/write`)
      const copy = browser.copy()
      await browser.login(`${url}/login/acme`)
      t.equal((await copy.get(`${url}/write`)).headers['set-cookie'], undefined)
    }
  )
}

t.test('a visitor whose session has expired or was never there gets a new one', async (t) => {
  const { browser, url, store } = await loginApp(t, { setup: routes(new Gate()) })
  await browser.get(`${url}/write`)
  const expired = browser.cookie('sessionId')
  store.records.clear()
  await browser.get(`${url}/write`)
  t.not(browser.cookie('sessionId'), expired)
  t.equal((await browser.get(`${url}/write`)).text, decodeURIComponent(browser.cookie('sessionId')!).split('.')[0])
})

t.test('once an answer has set the session cookie, no other cookie has its signature checked', async (t) => {
  const checked: string[] = []
  const signer = new Signer(SESSION_SECRET)
  const secret = {
    sign: (value: string) => signer.sign(value),
    unsign: (value: string) => {
      checked.push(value)
      return signer.unsign(value)
    }
  }
  const setup = (app: FastifyInstance) => {
    app.get('/mark', async (_request, reply) => reply.setCookie('mark', 'some.value', { path: '/' }).send('marked'))
  }
  const { url, browser } = await loginApp(t, { session: { secret }, setup })
  await browser.get(`${url}/mark`)
  await browser.login(`${url}/login/acme`)
  t.ok(checked.includes('some.value'), 'at the first login it may be the session cookie')
  checked.length = 0
  const another = new Browser()
  await another.get(`${url}/mark`)
  await another.login(`${url}/login/acme`)
  t.strictSame((await another.get(url)).json(), { user: 'alice' })
  t.notOk(checked.includes('some.value'))
})
