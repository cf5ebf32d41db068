import { inspect } from 'node:util'
import t from 'tap'
import { loggedInApp, type Work } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'
import { captureLog } from '../helpers/log.ts'

t.test('an error about an API\'s response names method and path, and not the query', async (t) => {
  const log = captureLog()
  const { run, page } = await loggedInApp(t, { fastify: { logger: log.logger } })

  t.test('of a status', async (t) => {
    const { message } = await rejection(run(oauth => oauth.get('status/404?filter=private#part').json()))
    t.equal(message, 'an API of provider "acme" answered 404 to GET /v1/status/404')
    t.match(
      (await rejection(run(oauth => oauth.post('status/500', { json: 1 }).text()))).message,
      /500 to POST \/v1\/status\/500/
    )
    t.match(
      (await rejection(run(oauth => oauth.request('status/409', { method: 'patch', query: { a: 'private' } }).bytes())))
        .message,
      /409 to PATCH \/v1\/status\/409$/
    )
  })

  t.test('in the log and in the page', async (t) => {
    const { text, status } = await page(oauth => oauth.get('status/418?filter=private').json())
    t.equal(status, 502)
    t.match(text, 'answered 418 to GET /v1/status/418')
    t.match(log.text, 'answered 418 to GET /v1/status/418')
    t.notMatch(text + log.text, 'private')
  })

  t.test('of something that is no JSON', async t => {
    const { message } = await rejection(
      run(async oauth => oauth.post('echo', { body: 'x', maxResponseSize: 3 }).json())
    )
    t.match(message, 'POST /v1/echo')
  })

  t.test('of a server that is away', async (t) => {
    const { run } = await loggedInApp(t, { provider: { resourceServers: ['http://127.0.0.1:1/api/'] } })
    const error = await rejection(run(oauth => oauth.get('orders?filter=private')))
    t.match(error, { code: 'FST_OAUTH_API_UNAVAILABLE', message: 'GET /api/orders' })
    t.notMatch(error.message, 'private')
  })
})

t.test('a token that an app puts into a path is not in the error', async (t) => {
  const { run } = await loggedInApp(t)
  const { accessToken } = await run(oauth => oauth.tokens())
  const error = await rejection(run(oauth => oauth.get(`unknown/${accessToken}`).json()))
  t.match(error, { code: 'FST_OAUTH_RESPONSE_STATUS' })
  t.notMatch(inspect(error), accessToken)
})

t.test('a handler that returns the ResponseData is told what to return', async (t) => {
  const { page, run } = await loggedInApp(t)

  const returned: Record<string, Work<unknown>> = {
    'the call itself': oauth => oauth.get('orders'),
    'the awaited call': async oauth => await oauth.get('orders')
  }
  for (const [name, work] of Object.entries(returned)) {
    t.test(name, async (t) => {
      const { status, text } = await page(work)
      t.equal(status, 500)
      t.match(JSON.parse(text), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /\.json\(\)/ })
      t.notMatch(text, /_readableState|transfer-encoding|statusText/)
    })
  }

  t.test('inside of something else', async t => {
    t.match((await page(async oauth => ({ orders: await oauth.get('orders') }))).json(), {
      code: 'FST_OAUTH_INVALID_OPTIONS'
    })
    t.match((await page(oauth => ({ orders: oauth.get('orders') }))).json(), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      message: /not awaited/
    })
  })

  t.test('with reply.send', async t => {
    t.match((await page(async (oauth, _request, reply) => reply.send(await oauth.get('orders')))).json(), {
      code: 'FST_OAUTH_INVALID_OPTIONS'
    })
  })

  t.test('after it was read whole as well', async (t) => {
    t.match((await page(async (oauth) => {
      const call = oauth.get('orders')
      await call.json()
      return await call
    })).json(), { code: 'FST_OAUTH_INVALID_OPTIONS' })
  })

  t.test('the rest of the ResponseData is as undici has it', async (t) => {
    const data = await run(oauth => oauth.get('orders'))
    t.strictSame(Object.keys(data).sort(), [
      'body', 'context', 'headers', 'opaque', 'statusCode', 'statusText', 'trailers'
    ])
    const { statusCode, headers, trailers, opaque, ...rest } = data
    t.match(
      { statusCode, headers, trailers, opaque },
      { statusCode: 200, headers: { 'content-type': 'application/json' }, trailers: {}, opaque: null }
    )
    t.strictSame(Object.keys(rest).sort(), ['body', 'context', 'statusText'])
    t.match(inspect(data, { depth: 0 }), 'statusCode: 200')
    t.match(await data.body.json(), [{ id: 1 }])
  })

  t.test('its body can be returned', async (t) => {
    t.match((await page(async oauth => (await oauth.get('orders')).body)).json(), [{ id: 1 }])
  })
})
