import formbody from '@fastify/formbody'
import { type FastifyRequest } from 'fastify'
import t from 'tap'
import { callbackParams } from '../../lib/routes/form-fields.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { loginApp } from '../helpers/login-app.ts'

// Bodies that anonymous clients post to the routes.

const MIB = 1 << 20
const large: Record<string, [type: string, body: string | Buffer]> = {
  'a text': ['text/plain', 'x'.repeat(MIB)],
  'a JSON text': ['application/json', JSON.stringify('x'.repeat(MIB))],
  'a JSON list': ['application/json', JSON.stringify(Array(MIB / 4).fill('a'))],
  'a JSON object of 90,000 members': [
    'application/json',
    JSON.stringify(Object.fromEntries(Array.from({ length: 90_000 }, (_, index) => [`k${index}`, 1])))
  ],
  'a JSON object nested 100,000 deep': ['application/json', '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)],
  'parts of a form': [
    'multipart/form-data; boundary=b',
    `--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n${'x'.repeat(MIB)}\r\n--b--\r\n`
  ],
  'a form of 100,000 fields': [
    'application/x-www-form-urlencoded',
    Array.from({ length: 100_000 }, (_, index) => `k${index}=1`).join('&')
  ],
  'bytes of no known type': ['application/octet-stream', Buffer.alloc(MIB)]
}

for (const [what, [type, body]] of Object.entries(large)) {
  t.test(`an anonymous client posts ${what}, a MiB of it: refused before it is read`, async (t) => {
    const { app, url } = await loginApp(t, {
      provider: { grantType: 'password', tokenEndpoint: 'http://127.0.0.1:9/token' },
      // An answer that came before the whole body leaves a connection that is not idle when the app closes.
      fastify: { forceCloseConnections: true },
      setup: (app) => app.register(formbody)
    })
    for (const path of ['/login/acme/callback', '/login/acme']) {
      const { statusCode } = await app.inject({
        method: 'POST',
        url: path,
        headers: { 'content-type': type },
        payload: body
      })
      t.ok(statusCode === 413 || statusCode === 415, `${path}: ${statusCode}`)
      const chunked = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': type },
        body: new Blob([body]).stream(),
        duplex: 'half'
      } as RequestInit).then(({ status }) => status, () => 'cut off')
      t.ok(chunked === 413 || chunked === 415 || chunked === 'cut off', `${path}, of unknown length: ${chunked}`)
    }
  })
}

t.test(
  "what is posted to a callback of the app's own, where its limits hold, is read as a form or not at all",
  async t => {
    const fields = ({ body, method = 'POST' }: { body: unknown, method?: string }) =>
      [...callbackParams({ method, body } as FastifyRequest)].length
    t.equal(fields({ body: { state: 's', code: ['a', 'b'] } }), 3)
    for (const body of [
      'x'.repeat(MIB),
      Array(1000).fill('a'),
      Buffer.alloc(1000),
      new Uint8Array(1000),
      null,
      undefined,
      5,
      true
    ]) { t.equal(fields({ body }), 0) }
    t.equal(fields({ body: Object.fromEntries(Array.from({ length: 90_000 }, (_, index) => [`k${index}`, 1])) }), 0)
    t.ok(fields({ body: { state: Array(90_000).fill('a') } }) <= 100)
  }
)

const odd: Record<string, [type: string | undefined, body: string]> = {
  'JSON, and nothing': ['application/json', ''],
  'JSON, and half of it': ['application/json', '{"returnTo":'],
  'JSON, and a text': ['application/json', '"x"'],
  'JSON, and null': ['application/json', 'null'],
  'a form, and nothing': ['application/x-www-form-urlencoded', ''],
  'text/plain': ['text/plain', 'bye'],
  multipart: ['multipart/form-data; boundary=b', '--b--\r\n'],
  'an invalid type': ['json', '{}'],
  'no type': [undefined, 'bye'],
  'no type, and nothing': [undefined, ''],
  'a form that is far too large': ['application/x-www-form-urlencoded', `returnTo=/${'a'.repeat(100_000)}`]
}

for (const [what, [type, body]] of Object.entries(odd)) {
  t.test(`a logout is carried out whatever comes with it: ${what}`, async (t) => {
    const { app, browser, url, userOf } = await loggedInApp(t, { wrong: {} })
    const cookies = Object.fromEntries(browser.cookies.map(({ name, value }) => [name, value]))
    const headers = { origin: url, accept: 'application/json', ...(type !== undefined && { 'content-type': type }) }
    const answer = await app.inject({ method: 'POST', url: '/logout', cookies, headers, payload: body })
    t.equal(answer.statusCode, 200)
    t.strictSame(answer.json(), { loggedOut: true, location: '/' })
    t.equal(await userOf(browser), null)
  })
}

t.test('a logout that another site sends is refused whatever comes with it', async (t) => {
  const { app, browser, userOf } = await loggedInApp(t, { wrong: {} })
  const cookies = Object.fromEntries(browser.cookies.map(({ name, value }) => [name, value]))
  for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=b']) {
    const { statusCode } = await app.inject({
      method: 'POST',
      url: '/logout',
      cookies,
      headers: { origin: 'https://evil.example', 'content-type': type },
      payload: ''
    })
    t.equal(statusCode, 403)
  }
  t.equal(await userOf(browser), 'alice')
})
