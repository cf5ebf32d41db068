import t from 'tap'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AccessDeniedError } from '../../lib/index.ts'
import { asJson, codeOf, loginApp } from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import { tokenRecords } from '../helpers/records.ts'

// onLogin may end the login that it is told of, or the session: that is no failure.

for (const thrown of [null, undefined, 'text', Object.freeze(new Error('a frozen error'))]) {
  t.test(`hooks that throw ${String(thrown)} are failures of the routes, and cause no other error`, async t => {
    const fail = () => { throw thrown }
    let isThrowing = false
    const log = captureLog()
    const { browser, url } = await loginApp(t, {
      oauth: {
        onLogin: () => { if (isThrowing) fail() },
        onLogout: fail,
        pages: { logoutConfirmation: fail }
      },
      fastify: { logger: log.logger }
    })
    await browser.login(`${url}/login/acme`)
    const pages = [await browser.get(`${url}/logout`, asJson), await browser.post(`${url}/logout`, asJson)]
    isThrowing = true
    pages.push(await browser.login(`${url}/login/acme`, asJson))
    t.strictSame(pages.map(page => [page.status, codeOf(page)]), Array(3).fill([500, 'INTERNAL']))
    const events = log.lines.filter(({ level }) => Number(level) >= 50).map(({ event }) => event)
    t.strictSame(events, ['logout_failed', 'logout_failed', 'login_failed'])
    t.notMatch(log.text, /Cannot /)
  })
}

t.test('a visitor whom the app refuses is not told that they cancelled the login', async t => {
  const { browser, url } = await loginApp(t, {
    oauth: { onLogin: () => { throw new AccessDeniedError('only staff may log in') } }
  })
  const page = await browser.login(`${url}/login/acme?returnTo=/orders`)
  t.equal(page.status, 403)
  t.match(page.text, 'No access with this account')
  t.match(page.text, 'href="/login/acme?returnTo=%2Forders"')
  t.notMatch(page.text, /cancelled|only staff/, 'what the app says in the error is for the log')
})

const ends: Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
  'logs out': request => request.oauth.logout(),
  'logs out and sends a response': (request, reply) => request.oauth.logout(reply),
  'logs out and redirects without waiting for the response to be sent': async (request, reply) => {
    await request.oauth.logout()
    reply.redirect('/')
  },
  'destroys the session': request => request.session.destroy(),
  'renews the session without the login': request => request.session.regenerate(),
  'takes the login out of the session': request => { delete (request.session as { oauth?: unknown }).oauth }
}

for (const [what, end] of Object.entries(ends)) {
  for (const rolling of [true, false]) {
    for (const begun of ['a login', 'a login in place of another', 'a link', 'a step-up']) {
      t.test(`onLogin ${what}, at ${begun} (rolling ${rolling})`, async (t) => {
        const log = captureLog()
        let isEnding = begun === 'a login'
        const { app, browser, url, provider, store, userOf } = await loginApp(t, {
          wrong: {},
          providers: ({ providerOptions }) => ({ acme: providerOptions, gh: providerOptions }),
          oauth: { onLogin: async (request, reply) => { if (isEnding) await end(request, reply) } },
          session: { rolling },
          fastify: { logger: log.logger },
          setup: app => {
            app.get<{ Params: { name: string } }>('/link/:name', async (request, reply) =>
              request.oauth.login(reply, { provider: request.params.name, link: true })
            )
            app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'passed')
          }
        })
        provider.wrong = { metadata: { revocation_endpoint: provider.url('revocation') } }
        if (!isEnding) await browser.login(`${url}/login/acme`)
        isEnding = true
        const before = browser.copy()
        const page = await browser.login(
          url + ({ 'a link': '/link/gh', 'a step-up': '/link/acme' }[begun] ?? '/login/acme')
        )
        t.match([page.url, page.status], [`${url}/`, 200], 'the redirect happens')
        for (const who of [browser, before]) {
          t.equal(await userOf(who), null)
          t.equal((await who.get(`${url}/guarded`, { headers: { accept: 'application/json' } })).status, 401)
        }
        t.equal(tokenRecords(store).size, 0, 'no token is left')
        t.notMatch(log.text, /"level":[56]0/, 'nor is there an error in the log')
        await app.close()
        const newest = provider.secrets.slice(-4)
        t.ok(
          provider.asked('revocation').some(({ form }) => newest.includes(form.get('token')!)),
          'what came is revoked'
        )
      })
    }
  }
}
