import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { ProviderOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { loginApp } from '../helpers/login-app.ts'

// One provider whose ID tokens several issuers sign: a subject is its issuer's own.

const ONE = 'https://one.example'
const TWO = 'https://two.example'
const accept = (issuer: string) => issuer === ONE || issuer === TWO

function routes (app: FastifyInstance): void {
  app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'in')
  app.get('/step-up', (request, reply) => request.oauth.login(reply, { provider: 'acme', link: true }))
  app.get('/session', async ({ session, oauth }) => ({
    cart: session.get('cart' as never) ?? null,
    iss: oauth.claims.iss
  }))
  app.post('/session', async ({ session }) => {
    session.set('cart' as never, 'tea' as never)
    return {}
  })
}

async function start (t: Test, provider: Partial<ProviderOptions> = {}) {
  const built = await loginApp(t, { provider: { idTokenIssuer: accept, ...provider }, setup: routes })
  built.provider.subject = '1'
  const comeFrom = (iss: string | undefined) => { built.provider.wrong = iss === undefined ? {} : { claims: { iss } } }
  return { ...built, comeFrom }
}

const asJson = { headers: { accept: 'application/json' } }

t.test('one subject at two issuers is two users, and logoutUser ends the one that is meant', async (t) => {
  const { app, url, userOf, comeFrom } = await start(t)
  const [first, second] = [new Browser(), new Browser()]
  comeFrom(ONE)
  await first.login(`${url}/login/acme`)
  comeFrom(TWO)
  await second.login(`${url}/login/acme`)
  const [one, two] = [await userOf(first), await userOf(second)]
  t.strictSame([one, two], [`${ONE}#1`, `${TWO}#1`])
  t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: one! }), 1)
  t.equal((await first.get(`${url}/guarded`, asJson)).status, 401)
  t.equal((await second.get(`${url}/guarded`, asJson)).status, 200)
})

t.test('a user of the provider\'s own issuer is known by the subject alone, and by nothing else', async (t) => {
  const { provider, browser, url, userOf, comeFrom } = await start(t, { idTokenIssuer: () => true })
  comeFrom(undefined)
  await browser.login(`${url}/login/acme`)
  t.equal(await userOf(browser), '1')
  provider.subject = `${ONE}#1`
  await browser.login(`${url}/login/acme`)
  t.equal(await userOf(browser), `${provider.issuer}#${ONE}#1`)
})

t.test('an issuer that an asynchronous idTokenIssuer refuses is refused: its promise is no yes', async (t) => {
  const { browser, url, userOf, comeFrom } = await start(t, { idTokenIssuer: async issuer => issuer === ONE })
  comeFrom(TWO)
  t.equal((await browser.login(`${url}/login/acme`)).status, 502)
  t.equal(await userOf(browser), null)
  comeFrom(ONE)
  await browser.login(`${url}/login/acme`)
  t.equal(await userOf(browser), `${ONE}#1`)
})

t.test('an issuer with a fragment is refused: its users could have the ids of those of another', async (t) => {
  const { browser, url, userOf, errors, comeFrom } = await start(t, { idTokenIssuer: () => true })
  for (const iss of [`${ONE}#`, `${ONE}#1`, '#']) {
    comeFrom(iss)
    t.equal((await browser.login(`${url}/login/acme`, asJson)).status, 502)
  }
  t.strictSame(errors.map(({ reason }) => reason), ['iss', 'iss', 'iss'])
  t.equal(await userOf(browser), null)
})

const profiles: Record<string, Partial<ProviderOptions>> = {
  'ids of the plugin\'s own': {},
  'ids that userProfile makes the same': { userProfile: ({ sub }) => ({ id: sub as string }) }
}

for (const [what, options] of Object.entries(profiles)) {
  t.test(`${what}: a step-up that comes back from another issuer is a new login`, async (t) => {
    const { browser, url, comeFrom } = await start(t, options)
    comeFrom(ONE)
    await browser.login(`${url}/login/acme`)
    await browser.post(`${url}/session`, { json: {} })
    await browser.login(`${url}/step-up`)
    t.strictSame((await browser.get(`${url}/session`)).json(), { cart: 'tea', iss: ONE }, 'the same user goes on')
    comeFrom(TWO)
    await browser.login(`${url}/step-up`)
    t.strictSame((await browser.get(`${url}/session`)).json(), { cart: null, iss: TWO })
  })
}
