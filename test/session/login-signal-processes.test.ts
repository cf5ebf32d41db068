import { once } from 'node:events'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Browser } from '../helpers/browser.ts'
import { startProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { type AppProcess, startAppProcess } from '../helpers/start-app-process.ts'

// `request.oauth.signal` with processes of their own on one Redis: a connection is open at one, and the login ends at
// another.

/** Opens a WebSocket, and waits until its handler holds the signal. */
async function openSocket (t: Test, browser: Browser, { url }: AppProcess) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/live`, { headers: { cookie: browser.cookieHeader } })
  t.after(() => socket.terminate())
  const closed = once(socket, 'close').then(([code, reason]) => [code, String(reason)])
  await once(socket, 'message')
  return { closed }
}

/** Opens server-sent events in the same way. */
async function openEvents (t: Test, browser: Browser, { url }: AppProcess) {
  const controller = new AbortController()
  t.after(() => controller.abort())
  const headers = { cookie: browser.cookieHeader }
  const { body } = await fetch(`${url}/events`, { headers, signal: controller.signal })
  const chunks = body!.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]()
  await chunks.next()
  const text = async () => {
    let all = ''
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) all += next.value
    return all
  }
  return { text: text() }
}

t.test('two processes on one Redis', async (t) => {
  const redis = await startRedis(t)
  if (redis === undefined) return
  const client = await createClient({ url: redis.url }).connect()
  t.after(() => client.destroy())
  const provider = await startProvider(t)
  const options = { redisUrl: redis.url, providerOptions: provider.providerOptions }
  const [first, second] = await Promise.all([startAppProcess(t, options), startAppProcess(t, options)])
  for (const { url } of [first, second]) provider.allowRedirect(`${url}/login/acme/callback`)
  const logIn = async (user: string) => {
    const browser = new Browser()
    await browser.login(`${first.url}/login/acme`, { user })
    return browser
  }
  // A form of the second process's own page: each has a base URL of its own.
  const logOut = (browser: Browser) => fetch(`${second.url}/logout`, {
    method: 'POST', redirect: 'manual', headers: { cookie: browser.cookieHeader, origin: second.url }
  })

  await t.test('a WebSocket and events at one process end with a logout at the other', async (t) => {
    const [alice, bob] = [await logIn('alice'), await logIn('bob')]
    const socket = await openSocket(t, alice, first)
    const events = await openEvents(t, alice, first)
    const other = await openSocket(t, bob, first)
    let isOtherOver = false
    other.closed.then(() => { isOtherOver = true }, () => {})
    t.equal((await logOut(alice)).status, 302)
    t.strictSame(await socket.closed, [4401, 'FST_OAUTH_LOGIN_ENDED'])
    t.equal(await events.text, 'FST_OAUTH_LOGIN_ENDED')
    t.equal(isOtherOver, false, 'another user\'s stays open')
  })
})
