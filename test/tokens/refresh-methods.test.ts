import { inspect } from 'node:util'
import t from 'tap'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { TokensUpdatedError, type OAuthError, type TokenSet } from '../../lib/index.ts'

// What refresh: manual and notify leave to the handler.

for (const level of ['plugin', 'provider'] as const) {
  t.test(
    `manual (${level}): an expired token is TokenExpiredError and no call goes out; the handler refreshes by hand`,
    async t => {
      const { provider, browser, url, store } = await loggedInApp(t, {
        [level === 'plugin' ? 'oauth' : 'provider']: { refresh: 'manual' },
        setup: app => {
          app.get('/by-hand', async request => {
            try {
              return await request.oauth.get('orders').json()
            } catch (error) {
              if ((error as OAuthError).code !== 'FST_OAUTH_TOKEN_EXPIRED') throw error
              await request.oauth.refresh()
              return await request.oauth.get('orders').json()
            }
          })
        }
      })
      expireTokens(store)
      t.match((await browser.get(`${url}/orders`)).json(), { code: 'FST_OAUTH_TOKEN_EXPIRED' })
      t.equal(provider.api.requests.length, 0)
      t.equal(provider.tokenRequests.length, 1)
      t.equal((await browser.get(`${url}/by-hand`)).status, 200)
      t.equal(provider.tokenRequests.length, 2)
    }
  )
}

t.test(
  'notify: the token is refreshed once, the new set handed to every caller, and current when it is saved',
  async t => {
    const saved: TokenSet[] = []
    const { provider, browser, url, store } = await loggedInApp(t, {
      oauth: {
        refresh: 'notify',
        onTokens: (tokens, { reason }) => {
          if (reason === 'refresh') saved.push(tokens)
        }
      },
      setup: app => {
        app.get('/shown', async request => {
          const error = await request.oauth.get('orders').json().catch((reason: unknown) => reason)
          return [error?.constructor.name, JSON.stringify(error), inspect(error, { depth: Infinity })].join()
        })
        app.get('/notified', async request => {
          try {
            return await request.oauth.get('orders').json()
          } catch (error) {
            if (!(error instanceof TokensUpdatedError)) throw error
            await request.oauth.save(error.tokens)
            return await request.oauth.get('orders').json()
          }
        })
      }
    })
    expireTokens(store)
    const answers = await Promise.all(Array.from({ length: 10 }, () => browser.get(`${url}/orders`)))
    t.ok(answers.every(answer => answer.json<{ code: string }>().code === 'FST_OAUTH_TOKENS_UPDATED'))
    t.notMatch(answers[0]!.text, /access_token|accessToken/)
    t.equal(provider.tokenRequests.length, 2, 'one refresh for all of them')
    t.equal(provider.api.requests.length, 0, 'and no call')
    t.equal([...tokenRecords(store).values()].length, 1)
    const shown = (await browser.get(`${url}/shown`)).text
    t.match(shown, 'TokensUpdated')
    const { access_token: fresh } = provider.tokenRequests[1]!.answer!.body as Record<string, string>
    t.notOk(shown.includes(fresh!), 'what a log would print of the error holds no token')
    t.equal((await browser.get(`${url}/notified`)).status, 200)
    t.equal((await browser.get(`${url}/orders`)).status, 200)
    t.equal(provider.tokenRequests.length, 2)
    t.equal(saved.length, 1)
    t.equal(provider.refreshTokenReuses, 0)
  }
)

for (const refresh of ['manual', 'notify'] as const) {
  t.test(`${refresh}: a token that the API refuses is not refreshed, and the 401 is the handler's to see`, async t => {
    const { run, provider } = await loggedInApp(t, { oauth: { refresh } })
    provider.expireAccessTokens()
    t.equal(await run(async oauth => (await oauth.get('orders')).statusCode), 401)
    t.equal(provider.api.requests.length, 1, 'sent once')
    t.equal(provider.tokenRequests.length, 1, 'that of the login')
  })
}

t.test('notify: the set before, saved late, does not take the place of the one that waits to be saved', async t => {
  const { provider, store, page, run, orders } = await loggedInApp(t, { oauth: { refresh: 'notify' } })
  expireTokens(store)
  const before = await run(oauth => oauth.tokens())
  t.match((await orders()).json(), { code: 'FST_OAUTH_TOKENS_UPDATED' })
  const late = await page(async oauth => {
    await oauth.save(before)
    return await oauth.get('orders').json()
  })
  t.match(late.json(), { code: 'FST_OAUTH_TOKENS_UPDATED' })
  t.equal(provider.tokenRequests.length, 2, 'still the one refresh')
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('save: a set that differs in anything becomes the current one, though its access token is the same', async t => {
  const { store, run } = await loggedInApp(t)
  const save = (changes: Partial<TokenSet>) => run(async oauth => {
    await oauth.save({ ...(await oauth.tokens()), ...changes })
  })
  const current = () => [...tokenRecords(store).values()].at(-1)!
  await save({})
  t.equal(current().version, 1, 'the very same set is saved already')
  await save({ refreshToken: 'another' })
  t.match(current(), { version: 2, tokens: { refreshToken: 'another' } })
})

t.test("a background job goes on from what onTokens handed out, beside the same user's web session", async t => {
  let kept: TokenSet | undefined
  const { app, provider, store, orders } = await loggedInApp(t, {
    oauth: { onTokens: tokens => { kept = JSON.parse(JSON.stringify(tokens)) } }
  })
  const old = kept!
  expireTokens(store)
  const job = app.oauth.provider('acme').session({ tokens: old })
  const [fromJob, fromWeb] = await Promise.all([job.get('me').json(), orders()])
  t.match(fromJob, { sub: 'alice' })
  t.equal(fromWeb.status, 200)
  t.equal(provider.tokenRequests.length, 2, 'one refresh between the two')
  expireTokens(store)
  t.match(
    await app.oauth.provider('acme').session({ tokens: old }).get('me').json(),
    { sub: 'alice' },
    'even from an old set'
  )
  t.equal(provider.refreshTokenReuses, 0)
})
