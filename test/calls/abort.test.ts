import t from 'tap'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'

const client = await loggedInApp(t)
const { run, provider, requests } = client
t.beforeEach(() => { requests.length = 0 })

t.test('a signal ends a call that waits for its response, with the signal\'s own reason', async (t) => {
  const gate = provider.api.holdSlow()
  for (const read of [true, false]) {
    const controller = new AbortController()
    const reason = new Error('enough')
    const call = run((oauth) => {
      const call = oauth.get('slow', { signal: controller.signal })
      return read ? call.json() : call
    })
    await gate.arrivedTimes(read ? 1 : 2)
    controller.abort(reason)
    t.equal(await rejection(call), reason)
  }
  gate.release()
})

t.test('without a reason it is an AbortError, with a time limit a TimeoutError', async (t) => {
  const gate = provider.api.holdSlow()
  const controller = new AbortController()
  const call = run(oauth => oauth.get('slow', { signal: controller.signal }).json())
  await gate.arrived
  controller.abort()
  t.equal((await rejection(call)).name, 'AbortError')
  t.equal(
    (await rejection(run(oauth => oauth.get('slow', { signal: AbortSignal.timeout(10) }).json()))).name,
    'TimeoutError'
  )
  gate.release()
})

t.test('a signal that has already been given sends nothing', async (t) => {
  const reason = new Error('before it began')
  const reads = async (work: () => Promise<unknown>) => {
    const before = client.store.calls.get
    await work()
    return client.store.calls.get - before
  }
  const withoutCall = await reads(() => run(() => {}))
  for (const read of [true, false]) {
    const withCall = await reads(async () => {
      t.equal(await rejection(run((oauth) => {
        const call = oauth.post('echo', { json: 1, signal: AbortSignal.abort(reason) })
        return read ? call.json() : call
      })), reason)
    })
    t.equal(withCall, withoutCall, 'not even the token was read')
  }
  t.equal(requests.length, 0)
})

t.test('a signal ends a body that is being read', async (t) => {
  provider.api.routes['GET endless'] = ({ response }) => {
    response.writeHead(200)
    response.write('first')
    return undefined
  }
  const controller = new AbortController()
  const reason = new Error('enough')
  const { body } = await run(oauth => oauth.get('endless', { signal: controller.signal }))
  const error = rejection((async () => {
    for await (const chunk of body) {
      t.equal(String(chunk), 'first')
      controller.abort(reason)
    }
  })())
  t.equal(await error, reason)
})

t.test('a finished call removes its listener from the signal', async (t) => {
  const controller = new AbortController()
  let added = 0
  let removed = 0
  const { addEventListener, removeEventListener } = EventTarget.prototype
  const signal = Object.assign(controller.signal, {
    addEventListener (...args: Parameters<typeof addEventListener>) {
      added++
      addEventListener.apply(this, args)
    },
    removeEventListener (...args: Parameters<typeof removeEventListener>) {
      removed++
      removeEventListener.apply(this, args)
    }
  })
  await run(oauth => oauth.get('orders', { signal }).json())
  t.ok(added > 0)
  t.equal(removed, added)
  await rejection(run(oauth => oauth.get('status/500', { signal }).json()))
  t.equal(removed, added, 'of a call that fails as well')
})

t.test('signal: null is no signal', async (t) => {
  t.ok(await run(oauth => oauth.get('orders', { signal: null }).json()))
})

t.test('a signal ends the call that waits for a refresh, and not the refresh', async (t) => {
  const app = await loggedInApp(t)
  const before = await app.run(oauth => oauth.tokens())
  app.provider.expireAccessTokens()
  const gate = app.provider.holdTokenEndpoint({ grantType: 'refresh_token' })
  const controller = new AbortController()
  const reason = new Error('enough')
  app.requests.length = 0

  const aborted = app.run(oauth => oauth.get('orders', { signal: controller.signal }).json())
  const other = app.run(oauth => oauth.get('orders').json())
  await gate.arrived
  controller.abort(reason)
  t.equal(await rejection(aborted), reason, 'it does not wait for the provider any longer')

  gate.release()
  t.match(await other, [{ id: 1 }, { id: 2 }], 'the other call gets its result')
  t.equal(app.refreshes(), 1)
  const after = await app.run(oauth => oauth.tokens())
  t.not(after.refreshToken, before.refreshToken, 'the rotated token is kept')
  t.equal(app.provider.refreshTokenReuses, 0)
})

t.end()
