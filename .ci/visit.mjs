// One person's visit to an app with the plugin: log in at a real OpenID provider, ask it who they are, log out.
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { text as readAll } from 'node:stream/consumers'

/** Counts what held and what did not. */
export function createChecks (title) {
  let passed = 0
  let failed = 0
  return {
    check (what, holds) {
      if (holds) passed++
      else failed++
      console.log(`${holds ? 'ok' : 'NOT OK'} - ${title}: ${what}`)
    },
    report () {
      console.log(`\n${passed} passed, ${failed} failed`)
      process.exitCode = failed === 0 ? 0 : 1
    }
  }
}

export async function visit ({ check, ...parts }) {
  try {
    await walk({ check, ...parts })
  } catch (error) {
    check(`the visit goes on to its end (${error.stack})`, false)
  }
}

async function walk ({ plugin, Fastify, cookie, session, check }) {
  const provider = createServer()
  provider.listen(0, '127.0.0.1')
  await once(provider, 'listening')
  const issuer = `http://127.0.0.1:${provider.address().port}`

  const app = Fastify()
  await app.register(cookie)
  await app.register(session, {
    secret: 'thirty-two characters at the very least',
    cookie: { secure: 'auto' },
    rolling: false,
    saveUninitialized: false
  })
  let url = ''
  await app.register(plugin, {
    baseUrl: () => url,
    providers: { acme: { issuer, clientId: 'app', clientSecret: 'secret', scope: ['openid'] } }
  })
  app.get('/', async (request) => ({ user: request.oauth.user?.id ?? null }))
  app.get('/userinfo', { onRequest: app.oauth.requireLogin() }, async (request) => request.oauth.userinfo())
  await app.listen({ port: 0, host: '127.0.0.1' })
  url = `http://127.0.0.1:${app.server.address().port}`
  provider.on('request', await openIdProvider(issuer, url))

  const browser = createBrowser()
  const asked = await browser.open(`${url}/userinfo`)
  check(
    'a page that needs a login leads to the provider',
    asked.url.startsWith(issuer) && asked.text.includes('password')
  )
  let page = await browser.submit(asked, { login: 'ada', password: 'any' })
  if (page.url.startsWith(issuer)) page = await browser.submit(page) // consent
  check(
    'the login leads back to that page, which calls userinfo',
    page.url === `${url}/userinfo` && page.text === '{"sub":"ada"}'
  )
  check('the app knows the user', (await browser.open(url)).text === '{"user":"ada"}')
  page = await browser.submit(await browser.open(`${url}/logout`))
  check("the logout leads to the provider's", page.url.startsWith(issuer))
  page = await browser.submit(page, { logout: 'yes' })
  check('and back to the app, where nobody is logged in', page.url === `${url}/` && page.text === '{"user":null}')

  await app.close()
  check('the app closes', !app.server.listening)
  provider.close()
  provider.closeAllConnections()
}

async function openIdProvider (issuer, url) {
  // Its advice for production: all of it is about what makes it small here.
  console.warn = console.info = () => {}
  const { Provider } = await import('oidc-provider')
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'app',
      client_secret: 'secret',
      redirect_uris: [`${url}/login/acme/callback`],
      post_logout_redirect_uris: [`${url}/logout/callback`]
    }]
  })
  return provider.callback()
}

/** As much of a browser as that takes: cookies, redirects, pages that go on by themselves, and forms. */
function createBrowser () {
  const jar = new Map()

  async function open (address, { method = 'GET', body, headers } = {}) {
    const { host } = new URL(address)
    const cookie = [...jar]
      .filter(([key]) => key.startsWith(`${host} `))
      .map(([key, value]) => `${key.slice(host.length + 1)}=${value}`)
      .join('; ')
    // Not fetch, which says of itself that it loads no page.
    const sent = request(address, { method, agent: false, headers: { accept: 'text/html', cookie, ...headers } })
    sent.end(body)
    const [response] = await once(sent, 'response')
    for (const line of response.headers['set-cookie'] ?? []) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      if (value === '') jar.delete(`${host} ${name}`)
      else jar.set(`${host} ${name}`, value)
    }
    const answer = await readAll(response)
    // A logout goes on to the provider from a page.
    const onward = /<meta http-equiv="refresh" content="0; url=([^"]*)">/.exec(answer)?.[1].replaceAll('&amp;', '&')
    const { location = onward } = response.headers
    return location === undefined ? { url: address, text: answer } : await open(new URL(location, address).href)
  }

  async function submit ({ url, text }, fields = {}) {
    const form = /<form\b[^>]*>[\s\S]*?<\/form>/.exec(text)?.[0]
    if (form === undefined) throw new Error(`no form on ${url}: ${text.slice(0, 200)}`)
    const attribute = (tag, name) => new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1]
    const body = new URLSearchParams()
    for (const [input] of form.matchAll(/<input\b[^>]*>/g)) {
      if (attribute(input, 'name') !== undefined) body.set(attribute(input, 'name'), attribute(input, 'value') ?? '')
    }
    for (const [name, value] of Object.entries(fields)) body.set(name, value)
    return await open(new URL(attribute(form, 'action') ?? '', url).href, {
      method: 'POST',
      body: String(body),
      headers: { origin: new URL(url).origin, 'content-type': 'application/x-www-form-urlencoded' }
    })
  }

  return { open, submit }
}
