import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { PluginOptions, RequestOAuth } from '../../lib/index.ts'
import { createProvider } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { buildApp } from '../helpers/build-app.ts'
import { deferred } from '../helpers/gate.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { expireTokens } from '../helpers/records.ts'
import { tokenSet } from '../helpers/token-process.ts'

// What `onTokens` does while it runs, and what goes on after it.

type Work = (oauth: RequestOAuth) => Promise<unknown>

const refreshesOf = (provider: MisbehavingProvider) =>
  provider.asked('token').filter(({ form }) => form.get('grant_type') === 'refresh_token').length

/** Alice, logged in at acme with an account at gh. */
async function connected (
  t: Test,
  onTokens: NonNullable<PluginOptions['onTokens']>,
  learn: (app: FastifyInstance) => void = () => {}
) {
  const acme = await startMisbehavingProvider(t)
  const gh = await startMisbehavingProvider(t)
  const works: Work[] = []
  const { url, store } = await buildApp(t, {
    oauth: { providers: { acme: acme.providerOptions, gh: gh.providerOptions }, defaultProvider: 'acme', onTokens },
    setup: (app) => {
      learn(app)
      app.get('/link', async (request, reply) => await request.oauth.login(reply, { provider: 'gh', link: true }))
      app.get('/work', async (request) => await works.shift()!(request.oauth))
    }
  })
  const browser = new Browser()
  await browser.login(`${url}/login/acme`)
  await browser.login(`${url}/link`)
  const run = async (work: Work) => {
    works.push(work)
    return await browser.get(`${url}/work`)
  }
  t.strictSame((await run(async oauth => oauth.accounts.map(({ provider }) => provider))).json(), ['acme', 'gh'])
  return { acme, gh, store, run }
}

t.test('work that onTokens starts and does not await refreshes as any other when onTokens has ended', async (t) => {
  const over = deferred()
  const outcome = deferred<string>()
  let app: FastifyInstance | undefined
  const { acme, store, run } = await connected(t, (tokens, { provider, reason }) => {
    if (provider !== 'acme' || reason !== 'login') return
    const session = app!.oauth.provider('acme').session({ tokens })
    const job = async () => {
      await over.promise
      const { accessToken } = await session.tokens()
      return accessToken === tokens.accessToken ? 'the same' : 'a new one'
    }
    job().then(outcome.resolve, outcome.reject)
  }, (learned) => { app = learned })
  expireTokens(store)
  await run(async () => 'loaded')
  over.resolve()
  t.equal(await outcome.promise, 'a new one')
  t.equal(refreshesOf(acme), 1)
})

t.test('hooks of two accounts that ask for each other\'s tokens do not wait for each other', async (t) => {
  let oauth: RequestOAuth | undefined
  const seen: string[] = []
  const { acme, gh, store, run } = await connected(t, async (_tokens, { provider, reason }) => {
    if (reason !== 'refresh') return
    if (provider === 'acme') await oauth!.using('gh').refresh()
    else seen.push((await oauth!.using('acme').tokens()).tokenType)
  })
  expireTokens(store)
  const answer = await run(async (given) => {
    oauth = given
    return await given.refresh()
  })
  t.equal(answer.status, 200)
  t.strictSame(seen, ['Bearer'])
  t.equal(refreshesOf(acme), 1)
  t.equal(refreshesOf(gh), 1)
})

t.test('two refreshes whose hooks refresh each other\'s account at the same moment both come to an end', async (t) => {
  let oauth: RequestOAuth | undefined
  const inside = { acme: deferred(), gh: deferred() }
  const { acme, gh, store, run } = await connected(t, async (_tokens, { provider, reason }) => {
    if (reason !== 'refresh') return
    inside[provider as 'acme' | 'gh'].resolve()
    await Promise.all([inside.acme.promise, inside.gh.promise])
    await oauth!.using(provider === 'acme' ? 'gh' : 'acme').refresh()
  })
  expireTokens(store)
  const answer = await run(async (given) => {
    oauth = given
    await Promise.all([given.using('acme').refresh(), given.using('gh').refresh()])
  })
  t.equal(answer.status, 200)
  t.ok(refreshesOf(acme) >= 1 && refreshesOf(gh) >= 1)
})

t.test('hooks of two headless sessions that ask for each other\'s tokens do not wait for each other', async (t) => {
  const provider = await startMisbehavingProvider(t, {
    instead: { token: () => ({ body: { access_token: `a${Math.random()}`, token_type: 'Bearer', expires_in: 3600 } }) }
  })
  const headless = createProvider({ ...provider.staticOptions })
  t.after(() => headless.close())
  const inside = [deferred(), deferred()]
  const sessions = [0, 1].map(index => headless.session({
    tokens: tokenSet(`r${index}`, 1),
    onTokens: async () => {
      inside[index]!.resolve()
      await Promise.all(inside.map(({ promise }) => promise))
      await sessions[1 - index]!.tokens()
    }
  }))
  await Promise.all(sessions.map(session => session.refresh()))
  t.equal(provider.asked('token').length, 2)
})
