import helmet from '@fastify/helmet'
import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { buildApp } from '../helpers/build-app.ts'
import { signIn, startChromium } from '../helpers/chromium.ts'
import { listen } from '../helpers/listen.ts'
import { loginApp } from '../helpers/login-app.ts'
import { startPasswordServer } from '../helpers/password-server.ts'
import { startProvider } from '../helpers/provider.ts'

// What only a real browser decides: which cookies go along, which redirects a policy lets pass, what is kept for the
// back button. Our own Browser knows the rules; Chromium is the one that makes them.

/** A page of Chromium, and all that it complains about (a violated policy among it). */
async function openPage (t: Test): Promise<{ page: Page, complaints: string[] } | undefined> {
  const chromium = await startChromium(t)
  if (chromium === undefined) return undefined
  const page = await (await chromium.newContext()).newPage()
  const complaints: string[] = []
  page.on('console', message => {
    if (message.type() === 'error' && !/favicon/.test(message.location().url)) complaints.push(message.text())
  })
  return { page, complaints }
}

const bodyOf = (page: Page) => page.textContent('body')

t.test('Chromium logs in at a provider on another site, and out again through the page that asks', async (t) => {
  const provider = await startProvider(t, { host: 'localhost' })
  const { url } = await buildApp(t, { oauth: { providers: { acme: provider.providerOptions } } })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page, complaints } = opened
  await page.goto(`${url}/login/acme?returnTo=/%3Fhello`)
  await signIn(page)
  await page.waitForURL(`${url}/?hello`)
  t.equal(await bodyOf(page), '{"user":"alice"}')

  await page.goto(`${url}/logout?returnTo=/%3Fbye`)
  await page.click('text=Log out >> nth=-1')
  await page.waitForURL(`${provider.issuer}/session/end**`)
  await page.click('button')
  await page.waitForURL(`${url}/?bye`)
  t.equal(await bodyOf(page), '{"user":null}')
  t.strictSame(complaints, [])
})

t.test('Chromium with a strict session cookie: login, a link of another site, logout', async (t) => {
  const provider = await startProvider(t, { host: 'localhost' })
  const { url } = await buildApp(t, {
    session: { cookie: { secure: false, sameSite: 'strict' } },
    oauth: { providers: { acme: provider.providerOptions } },
    setup: (app) => {
      app.get('/orders', { onRequest: app.oauth.requireLogin() }, async ({ oauth }) => ({ orders: oauth.user?.id }))
    }
  })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page, complaints } = opened
  await page.goto(`${url}/orders`)
  await signIn(page)
  await page.waitForURL(`${url}/orders`)
  t.equal(await bodyOf(page), '{"orders":"alice"}')

  const asked = provider.requests.length
  const { port, close } = await listen((_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<a href="${url}/orders">orders</a><a href="${url}/">home</a>`)
  })
  t.after(close)
  await page.goto(`http://localhost:${port}/`)
  await page.click('text=home')
  await page.waitForURL(`${url}/`)
  t.equal(await bodyOf(page), '{"user":null}', 'a strict cookie does not come along')
  await page.goto(`http://localhost:${port}/`)
  await page.click('text=orders')
  await page.waitForURL(`${url}/orders`)
  await page.waitForSelector('text=alice')
  t.equal(await bodyOf(page), '{"orders":"alice"}')
  t.equal(provider.requests.length, asked, 'the provider was not asked again')
  await page.goBack()
  t.equal(page.url(), `http://localhost:${port}/`, 'one step back is where the link was')
  t.strictSame(complaints, [])
})

t.test('Chromium is sent to authenticate in another way, and comes back to the URL that asked for it', async (t) => {
  const provider = await startProvider(t, { host: 'localhost' })
  const { url } = await buildApp(t, {
    oauth: { providers: { acme: provider.providerOptions } },
    setup: (app) => {
      const onRequest = app.oauth.requireLogin({ scope: 'orders:write', acrValues: 'urn:example:mfa' })
      app.get('/transfer', { onRequest }, async ({ url, oauth }) => `${url} with ${String(oauth.claims.acr)}`)
    }
  })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page, complaints } = opened
  await page.goto(`${url}/login/acme`)
  await signIn(page)
  await page.waitForURL(`${url}/`)
  await page.goto(`${url}/transfer?to=bob&sum=7`)
  await signIn(page)
  await page.waitForURL(`${url}/transfer?to=bob&sum=7`)
  t.equal(await bodyOf(page), '/transfer?to=bob&sum=7 with urn:example:mfa')
  await page.reload()
  t.equal(await bodyOf(page), '/transfer?to=bob&sum=7 with urn:example:mfa')
  t.strictSame(complaints, [])
})

t.test('Chromium logs out from a page of the app\'s own whose policy lets its forms lead nowhere else', async (t) => {
  const provider = await startProvider(t, { host: 'localhost' })
  const { url } = await buildApp(t, {
    oauth: { providers: { acme: provider.providerOptions } },
    setup: async (app) => {
      await app.register(helmet)
      app.get('/own', async (_request, reply) =>
        reply
          .type('text/html')
          .send(
            '<form method="post" action="/logout"><input type="hidden" name="returnTo" value="/?bye"><button>Log ' +
              'out</button></form>'
          )
      )
    }
  })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page, complaints } = opened
  await page.goto(`${url}/login/acme`)
  await signIn(page)
  await page.waitForURL(`${url}/`)

  const answer = await page.goto(`${url}/own`)
  t.match(answer!.headers()['content-security-policy'], /form-action 'self'/)
  await page.click('button')
  await page.waitForURL(`${provider.issuer}/session/end**`)
  await page.click('button')
  await page.waitForURL(`${url}/?bye`)
  t.equal(await bodyOf(page), '{"user":null}')
  t.strictSame(complaints, [])
})

t.test('Chromium brings the cookie along with a form that a provider on another site posts', async (t) => {
  const { url } = await loginApp(t, { host: 'localhost', provider: { responseMode: 'form_post' } })
  const opened = await openPage(t)
  if (opened === undefined) return
  await opened.page.goto(`${url}/login/acme`)
  await opened.page.waitForURL(`${url}/`)
  t.equal(await bodyOf(opened.page), '{"user":"alice"}')
})

t.test(
  'Chromium: a callback that is loaded once more does not log out, and leads on to where its login led',
  async t => {
    const { url, provider } = await loginApp(t, { host: 'localhost' })
    const callbacks: string[] = []
    const opened = await openPage(t)
    if (opened === undefined) return
    const { page } = opened
    page.on('request', request => {
      if (new URL(request.url()).pathname === '/login/acme/callback') callbacks.push(request.url())
    })
    await page.goto(`${url}/login/acme?returnTo=/%3Fhello`)
    await page.waitForURL(`${url}/?hello`)
    await page.goto(callbacks[0]!)
    t.equal(page.url(), `${url}/?hello`)
    t.equal(await bodyOf(page), '{"user":"alice"}')
    await page.goBack()
    t.equal(await bodyOf(page), '{"user":"alice"}')
    t.equal(provider.asked('token').length, 1)
  }
)

t.test('Chromium: two tabs both log in', async (t) => {
  const provider = await startProvider(t, { host: 'localhost' })
  const { url } = await buildApp(t, { oauth: { providers: { acme: provider.providerOptions } } })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page } = opened
  const other = await page.context().newPage()
  await page.goto(`${url}/login/acme?returnTo=/%3Fone`)
  await other.goto(`${url}/login/acme?returnTo=/%3Ftwo`)
  for (const [tab, end] of [[other, 'two'], [page, 'one']] as const) {
    await signIn(tab)
    await tab.waitForURL(`${url}/?${end}`)
    t.equal(await bodyOf(tab), '{"user":"alice"}')
  }
})

t.test('Chromium: the form of the password grant says what is wrong, logs in, and slows guesses down', async t => {
  const server = await startPasswordServer(t)
  const { url } = await buildApp(t, {
    oauth: { providers: { legacy: { ...server.providerOptions, grantType: 'password', title: 'Staff' } } }
  })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page, complaints } = opened
  const submit = async (username: string, password: string) => {
    await page.getByLabel('Username').fill(username)
    await page.getByLabel('Password').fill(password)
    await Promise.all([page.waitForEvent('domcontentloaded'), page.keyboard.press('Enter')])
  }
  await page.goto(`${url}/login/legacy?returnTo=/%3Fhello`)
  t.equal(await page.textContent('h1'), 'Log in to Staff')
  await submit('alice', 'wrong')
  t.equal(await page.getByRole('alert').innerText(), 'Username or password is wrong.')
  t.equal(await page.getByLabel('Username').inputValue(), 'alice')
  t.ok(
    await page.getByLabel('Password').evaluate('document.activeElement.id === "password"'),
    'the password may be typed again at once'
  )
  await submit('alice', 'correct horse')
  t.equal(page.url(), `${url}/?hello`)
  t.equal(await bodyOf(page), '{"user":"alice"}')

  await page.goto(`${url}/login/legacy`)
  for (let failed = 0; failed < 10; failed++) await submit('bob', `guess ${failed}`)
  await submit('bob', 'also correct')
  t.equal(await page.textContent('h1'), 'Too many attempts')
  await page.goto(url)
  t.equal(await bodyOf(page), '{"user":"alice"}', 'the user stays logged in')
  t.strictSame(complaints.filter((text) => !/status of (?:401|429)/.test(text)), [])
})

t.test('Chromium: the plugin\'s pages violate no policy of their own, and their style is applied', async (t) => {
  const { url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page, complaints } = opened
  for (const path of ['/login', '/logout']) {
    await page.goto(url + path)
    t.ok(
      await page.$eval(
        'a.button',
        link =>
          (globalThis as unknown as { getComputedStyle(element: unknown): { borderRadius: string } }).getComputedStyle(
            link
          ).borderRadius !== '0px'
      ),
      path
    )
  }
  t.strictSame(complaints, [])
})

t.test('Chromium: a form of another site that posts to /logout does not log out', async (t) => {
  const { url } = await loginApp(t, {
    setup: app => {
      app.get('/attack', async (_request, reply) =>
        reply.type('text/html').send(`<form method="post" action="${url}/logout"><button>Win</button></form>`)
      )
    }
  })
  const opened = await openPage(t)
  if (opened === undefined) return
  const { page } = opened
  await page.goto(`${url}/login/acme`)
  await page.waitForURL(`${url}/`)
  await page.goto(`${url.replace('127.0.0.1', 'localhost')}/attack`)
  await page.click('button')
  t.equal(await page.textContent('h1'), 'Nothing was done')
  await page.goto(url)
  t.equal(await bodyOf(page), '{"user":"alice"}')
})
