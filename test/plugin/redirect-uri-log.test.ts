import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { buildApp, type AppOptions } from '../helpers/build-app.ts'
import { captureLog } from '../helpers/log.ts'

// What the log says at start, or at the first login, of the addresses and cookies that a login depends on.

const endpoints = {
  authorizationEndpoint: 'https://id.example/authorize',
  tokenEndpoint: 'https://id.example/token',
  clientId: 'app'
}

async function start (t: Test, oauth: Partial<AppOptions['oauth']>, options: Partial<AppOptions> = {}) {
  const log = captureLog()
  const built = await buildApp(t, {
    ...options,
    fastify: { logger: log.logger, ...options.fastify },
    oauth: { providers: { acme: endpoints }, ...oauth }
  })
  const said = (pattern: RegExp) => log.lines.map(({ msg }) => String(msg)).filter(msg => pattern.test(msg))
  return { ...built, log, said }
}

t.test('the log says what to register with each provider that people log in at', async (t) => {
  const { said, log } = await start(t, {
    baseUrl: 'http://localhost:3000',
    prefix: '/auth',
    providers: {
      acme: endpoints,
      other: { ...endpoints, redirectUri: 'http://localhost:3000/old/callback' },
      machine: { ...endpoints, grantType: 'client_credentials' },
      legacy: { ...endpoints, grantType: 'password' }
    }
  })
  t.strictSame(said(/register at/), [
    'register at acme: http://localhost:3000/auth/login/acme/callback',
    'register at other: http://localhost:3000/old/callback'
  ])
  t.strictSame(log.lines.filter(({ msg }) => /register at/.test(String(msg))).map(({ level }) => level), [30, 30])
})

t.test('where baseUrl is a function, the log says it when the app listens', async (t) => {
  const { said } = await start(t, { baseUrl: () => 'http://localhost:4000' })
  t.strictSame(said(/register at/), ['register at acme: http://localhost:4000/login/acme/callback'])
})

t.test('where that function returns a URL only later, the log names it at the first login, once', async (t) => {
  const { url, said } = await start(t, {})
  t.strictSame(said(/register at/), [], 'nothing false is said before')
  for (let login = 0; login < 2; login++) await new Browser().get(`${url}/login/acme`, { redirect: 'manual' })
  t.strictSame(said(/register at/), [`register at acme: ${url}/login/acme/callback`])
})

t.test('a session cookie that goes out without Secure behind https: a warning at the first login, once', async t => {
  const { url, said } = await start(
    t,
    { baseUrl: 'https://app.example.com' },
    { session: { cookie: { secure: 'auto' } } }
  )
  for (let login = 0; login < 2; login++) await new Browser().get(`${url}/login/acme`, { redirect: 'manual' })
  const [warning, ...more] = said(/without `Secure`/)
  t.match(warning, /trustProxy/)
  t.strictSame(more, [])
})

t.test('cookie.secure: false with an https baseUrl: the warning comes at start', async (t) => {
  const { said } = await start(t, { baseUrl: 'https://app.example.com' }, { session: { cookie: { secure: false } } })
  t.equal(said(/without `Secure`/).length, 1)
})

t.test('behind a trusted proxy, and over http, there is nothing to warn of', async t => {
  const proxied = await start(
    t,
    { baseUrl: 'https://app.example.com' },
    { session: { cookie: { secure: 'auto' } }, fastify: { trustProxy: true } }
  )
  await new Browser().get(`${proxied.url}/login/acme`, {
    redirect: 'manual',
    headers: { 'x-forwarded-proto': 'https' }
  })
  t.strictSame(proxied.said(/without `Secure`/), [])
  const plain = await start(t, { baseUrl: 'http://localhost:3000' }, { session: { cookie: { secure: 'auto' } } })
  await new Browser().get(`${plain.url}/login/acme`, { redirect: 'manual' })
  t.strictSame(plain.said(/without `Secure`/), [])
})
