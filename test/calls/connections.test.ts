import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Agent } from 'undici'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { Gate } from '../helpers/gate.ts'
import { keptTokens, scriptProvider, startScriptServer } from '../helpers/script-server.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

// Collects until something has happened: when the collector finds out is its own affair.
async function collectUntil (done: () => boolean): Promise<void> {
  while (!done()) {
    gc()
    await new Promise(resolve => setImmediate(resolve))
  }
}

t.test('a response body that is never read does not keep its connection', async (t) => {
  const dispatcher = new Agent({ connections: 1, pipelining: 1 })
  t.after(() => dispatcher.destroy())
  const { page, run, provider, requests } = await loggedInApp(t, { oauth: { dispatcher } })
  let over = 0
  // More than a socket and a stream hold by themselves.
  provider.api.routes['* large'] = ({ response }) => {
    once(response, 'close').then(() => { over++ })
    response.writeHead(200).end(Buffer.alloc(4 * 1024 * 1024))
    return undefined
  }
  t.beforeEach(() => { over = requests.length = 0 })

  t.test('of a call that is not awaited', async (t) => {
    await run((oauth) => { oauth.post('large', { json: 1 }) })
    await collectUntil(() => over === 1)
    t.match(await run(oauth => oauth.get('orders').json()), [{ id: 1 }, { id: 2 }])
  })

  t.test('of a call whose ResponseData the handler returned', async (t) => {
    t.match((await page(oauth => oauth.get('large'))).json(), { code: 'FST_OAUTH_INVALID_OPTIONS' })
    await collectUntil(() => over === 1)
    t.match(await run(oauth => oauth.get('orders').json()), [{ id: 1 }, { id: 2 }])
  })

  t.test('of a fetch whose status was enough', async (t) => {
    t.equal(await run(async oauth => (await oauth.fetch('large')).status), 200)
    await collectUntil(() => over === 1)
    t.match(await run(oauth => oauth.get('orders').json()), [{ id: 1 }, { id: 2 }])
  })
})

t.test("the plugin's own connections end with the app, a call that is under way too", { timeout: 20_000 }, async t => {
  const { app, run, provider } = await loggedInApp(t)
  const { recordId: _own, ...tokens } = await run(oauth => oauth.tokens())
  const slow = provider.api.holdSlow()
  t.after(() => slow.release())
  const call = app.oauth.provider('acme').session({ tokens }).get('slow').json()
  await slow.arrived
  await app.close()
  await t.rejects(call, { code: 'FST_OAUTH_API_UNAVAILABLE' })
})

t.test('a response that is read late is still there', async (t) => {
  const { run, provider } = await loggedInApp(t)
  const large = Buffer.alloc(4 * 1024 * 1024, 'a')
  provider.api.routes['GET large'] = () => ({ body: large })

  const turns = async () => {
    for (let turn = 0; turn < 20; turn++) {
      gc()
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  t.test('of a call that is waited for later', async (t) => {
    t.equal((await run(async (oauth) => {
      const call = oauth.get('large')
      await turns()
      return await (await call).body.bytes()
    })).length, large.length)
  })

  t.test('of a call that is read whole later', async (t) => {
    t.equal((await run(async (oauth) => {
      const call = oauth.get('large')
      await turns()
      return await call.bytes()
    })).length, large.length)
  })

  t.test('of a call whose body alone was kept', async (t) => {
    const body = await run(async oauth => (await oauth.get('large')).body)
    await turns()
    t.equal((await body.bytes()).length, large.length)
  })

  t.test('of a Response whose reader alone was kept', async (t) => {
    const reader = await run(async oauth => (await oauth.fetch('large')).body!.getReader())
    await turns()
    let size = 0
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) size += value!.length
    t.equal(size, large.length)
  })

  t.test('of a copy of a Response', async (t) => {
    const copy = await run(async oauth => (await oauth.fetch('large')).clone())
    await turns()
    t.equal((await copy.arrayBuffer()).byteLength, large.length)
  })
})

t.test('a refresh does not wait behind API calls, though API and token endpoint are on the same server', async (t) => {
  const server = await startScriptServer(t)
  const gate = new Gate()
  server.answerCall = async () => {
    await gate.pass()
    return 200
  }
  // Within this time a refresh that waits for a connection gives up.
  const provider = scriptProvider(t, { ...server.providerOptions, requestTimeout: 5_000 })
  const session = provider.session({ tokens: keptTokens(3600) })
  // As many connections as an origin may have, and some more.
  const calls = Promise.all(Array.from({ length: 300 }, () => session.get('slow').json()))
  await gate.arrivedTimes(256)
  t.equal((await session.refresh()).accessToken, 'access-1')
  gate.release()
  t.equal((await calls).length, 300)
})
