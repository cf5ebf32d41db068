import { Readable } from 'node:stream'
import t from 'tap'
import { LoginRequiredError, type RequestOAuth } from '../../lib/index.ts'
import { loggedInApp, ThrownSynchronously } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'

const { runAnonymous, run, requests, provider } = await loggedInApp(t)

// Each of them must be a promise that rejects: a handler that writes `.catch()` must get what it asked for.
const ways: Record<string, (oauth: RequestOAuth) => Promise<unknown>> = {
  'get()': oauth => oauth.get('orders'),
  'get().json()': oauth => oauth.get('orders').json(),
  'get().text()': oauth => oauth.get('orders').text(),
  'get().bytes()': oauth => oauth.get('orders').bytes(),
  'post()': oauth => oauth.post('orders', { json: 1 }),
  'put()': oauth => oauth.put('orders', { body: Readable.from(['a']) }).json(),
  'patch()': oauth => oauth.patch('orders', { body: new Blob(['a']) }).json(),
  'delete()': oauth => oauth.delete('orders'),
  'head()': oauth => oauth.head('orders'),
  'request()': oauth => oauth.request('orders', { method: 'OPTIONS' }),
  'fetch()': oauth => oauth.fetch('orders'),
  'fetch() of a Request': oauth => oauth.fetch(new Request(`${provider.api.url}orders`)),
  'fetch() of what is no URL': oauth => oauth.fetch('http://['),
  'get() of what is no URL': oauth => oauth.get('http://['),
  'tokens()': oauth => oauth.tokens(),
  'refresh()': oauth => oauth.refresh(),
  'userinfo()': oauth => oauth.userinfo()
}
for (const [name, call] of Object.entries(ways)) {
  t.test(`${name} without a login rejects, and never throws`, async (t) => {
    requests.length = 0
    const error = await rejection(runAnonymous(call))
    t.ok(error instanceof LoginRequiredError)
    t.match(error, { code: 'FST_OAUTH_LOGIN_REQUIRED', statusCode: 401, provider: 'acme' })
    t.equal(requests.length, 0)
  })
}

const mistakes: Record<string, (oauth: RequestOAuth) => Promise<unknown>> = {
  'get() of another server': oauth => oauth.get('https://evil.example/'),
  'get() of nothing': oauth => oauth.get(undefined as unknown as string),
  'get() with a wrong option': oauth => oauth.get('orders', { path: '/' } as object),
  'get() with a wrong header': oauth => oauth.get('orders', { headers: 1 as unknown as Headers }),
  'get().json() with json and body': oauth => oauth.get('orders', { json: 1, body: 'a' }).json(),
  'request() with a wrong method': oauth => oauth.request('orders', { method: 1 as unknown as string }).json(),
  'fetch() of nothing': oauth => oauth.fetch(undefined as unknown as string),
  'fetch() of another server': oauth => oauth.fetch('https://evil.example/')
}
for (const [name, call] of Object.entries(mistakes)) {
  t.test(`${name} rejects, and never throws`, async (t) => {
    const error = await rejection(run(call))
    t.notOk(error instanceof ThrownSynchronously)
    t.match(error, { code: /^FST_OAUTH_(?:INVALID_OPTIONS|LOGIN_REQUIRED|ORIGIN_NOT_ALLOWED)$/ })
    t.equal(requests.length, 0)
  })
}

t.test('fetch that was taken before the logout knows of it', async (t) => {
  const error = await rejection(run(async (oauth) => {
    const { fetch } = oauth
    await (await fetch('orders')).text()
    await oauth.logout()
    return await fetch('orders')
  }))
  t.match(error, { code: 'FST_OAUTH_LOGIN_REQUIRED' })
})

t.end()
