import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Page } from '../helpers/browser.ts'
import { codeOf, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'

// What an anonymous client may send to the plugin's routes: each request gets a response that was meant, leads nowhere
// but to the app or its provider, repeats nothing that a browser would run, and the app goes on.

const MARK = '"><svg/onload=alert(1)>'
const EVIL = 'evil.example'

type Sent = { query?: string, headers?: Record<string, string | string[]>, payload?: string }

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const json = { 'content-type': 'application/json' }
const names = ['state', 'code', 'error', 'iss', 'returnTo', 'username', 'password', 'login_hint']
const everywhere = (value: string) => names.map((name) => `${name}=${encodeURIComponent(value)}`).join('&')

const requests: Record<string, Sent> = {
  'nothing at all': {},
  'parameters twice': { query: `${everywhere('a')}&${everywhere('b')}` },
  'parameters in the way of other languages': {
    query: names.map(name => `${name}[]=a&${name}[b]=c&${name}.d=e`).join('&')
  },
  'parameters named like members of every object': {
    query: '__proto__=a&__proto__[state]=b&constructor=c&constructor.prototype=d&hasOwnProperty=e&toString=f'
  },
  'parameters that are markup': { query: everywhere(MARK) },
  'parameters that are URLs': { query: everywhere(`https://${EVIL}/`) },
  'parameters that are no text': { query: everywhere('\u0000\r\nset-cookie: a=b\u2028') },
  'parameters in a broken encoding': { query: names.map(name => `${name}=%&${name}=%f&${name}=%ff%fe&%=%`).join('&') },
  'separators without parameters': { query: '&&&===&=&?&#' },
  'many parameters': { query: Array.from({ length: 1500 }, (_, index) => `a${index}=`).join('&') },
  'long parameters': { query: `state=${'a'.repeat(6000)}&returnTo=/${'b'.repeat(6000)}` },
  'a form that is markup': { headers: form, payload: everywhere(MARK) },
  'a form with parameters twice': { headers: form, payload: `${everywhere('a')}&${everywhere('b')}` },
  'a form with members of every object': {
    headers: form,
    payload: '__proto__=a&constructor=b&toString=c&__proto__[state]=d'
  },
  'a form that is empty': { headers: form, payload: '' },
  'a form that is too large': { headers: form, payload: `state=${'a'.repeat(100_000)}` },
  'a form in another charset': {
    headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-16' },
    payload: everywhere('é')
  },
  'JSON null': { headers: json, payload: 'null' },
  'a JSON list': { headers: json, payload: '[["state","a"]]' },
  'a JSON text': { headers: json, payload: '"state"' },
  'JSON members that are lists': {
    headers: json,
    payload: JSON.stringify(Object.fromEntries(names.map(name => [name, ['a', ['b']]])))
  },
  'JSON members that are objects': {
    headers: json,
    payload: JSON.stringify(Object.fromEntries(names.map(name => [name, { a: 1 }])))
  },
  'JSON members that cannot be made a text': {
    headers: json,
    payload: JSON.stringify(Object.fromEntries(names.map(name => [name, { toString: 1, valueOf: 1 }])))
  },
  'JSON members that are numbers': {
    headers: json,
    payload: JSON.stringify(Object.fromEntries(names.map(name => [name, 1e308])))
  },
  'JSON with a prototype': { headers: json, payload: '{"__proto__":{"state":"a","returnTo":"//evil.example"}}' },
  'JSON with a constructor': { headers: json, payload: '{"constructor":{"prototype":{"state":"a"}}}' },
  'JSON that is cut off': { headers: json, payload: '{"state":"a' },
  'no JSON where JSON was said': { headers: json, payload: everywhere('a') },
  'deep JSON': { headers: json, payload: `{"state":${'['.repeat(5000)}${']'.repeat(5000)}}` },
  'plain text': { headers: { 'content-type': 'text/plain' }, payload: everywhere('a') },
  XML: { headers: { 'content-type': 'application/xml' }, payload: '<state>a</state>' },
  'several parts': {
    headers: { 'content-type': 'multipart/form-data; boundary=x' },
    payload: '--x\r\ncontent-disposition: form-data; name="state"\r\n\r\na\r\n--x--'
  },
  'an invalid content type': { headers: { 'content-type': ';;=/"' }, payload: 'a' },
  'an Accept that is markup': { headers: { accept: `text/html, ${MARK}` } },
  'other hosts': {
    headers: {
      host: EVIL,
      'x-forwarded-host': EVIL,
      'x-forwarded-proto': 'javascript',
      'x-forwarded-prefix': `//${EVIL}`,
      'x-forwarded-for': MARK,
      forwarded: `host=${EVIL};proto=https`,
      'x-original-url': '//evil.example',
      'x-rewrite-url': '/logout'
    }
  },
  'another method in a header': { headers: { 'x-http-method-override': 'POST', 'x-method-override': 'DELETE' } },
  'a request id of the client\'s own': { headers: { 'request-id': MARK, 'x-request-id': MARK } },
  'an invalid Origin': { headers: { origin: MARK } },
  'two sites at once': { headers: { 'sec-fetch-site': 'same-origin, cross-site', origin: `https://${EVIL}` } },
  'a site in capital letters': { headers: { 'sec-fetch-site': 'Cross-Site' } },
  'the same cookie twice': { headers: { cookie: 'sessionId=a; sessionId=b; oauth-logout=a; oauth-logout=b' } },
  'an invalid session cookie': { headers: { cookie: `sessionId=${MARK}.x` } },
  'a session cookie in a broken encoding': { headers: { cookie: 'sessionId=%E0%A4%A.%; oauth-logout=%E0%A4%A' } },
  'a session cookie that is an id of a record': { headers: { cookie: 'sessionId=oauth:login:x.y' } },
  'cookies named like members of every object': {
    headers: { cookie: '__proto__=a; constructor=b; toString=c; hasOwnProperty=d' }
  },
  'a logout cookie that leads elsewhere': {
    query: 'state=x',
    headers: { cookie: `oauth-logout=${encodeURIComponent(`x.//${EVIL}`)}` }
  },
  'hundreds of login cookies': {
    headers: {
      cookie: Array.from(
        { length: 200 },
        (_, index) => `oauth-${String(index).padStart(22, 'a')}=zzzzzz.${'i'.repeat(43)}`
      ).join('; ')
    }
  },
  'login cookies of no known form': {
    headers: { cookie: `oauth-${'a'.repeat(22)}=; oauth-${'b'.repeat(22)}=${MARK}; __Host-oauth-${'c'.repeat(22)}=..` }
  }
}

const providers: LoginAppOptions['providers'] = ({ providerOptions }) => ({
  acme: { ...providerOptions, forwardedLoginParams: ['login_hint'] },
  legacy: { ...providerOptions, grantType: 'password' },
  fragment: { ...providerOptions, grantType: 'implicit' },
})
const hostileNames = ['__proto__', 'constructor', MARK, `//${EVIL}`, '../admin', '\u0000', 'a'.repeat(90)].map(
  encodeURIComponent
)
const routes: Record<'GET' | 'POST', string[]> = {
  GET: [
    '/login',
    '/login/acme',
    '/login/legacy',
    '/login/acme/callback',
    '/login/fragment/callback',
    '/logout',
    '/logout/callback',
    ...hostileNames.flatMap(name => [`/login/${name}`, `/login/${name}/callback`])
  ],
  POST: [
    '/login/acme',
    '/login/legacy',
    '/login/acme/callback',
    '/login/fragment/callback',
    '/logout',
    ...hostileNames.flatMap(name => [`/login/${name}`, `/login/${name}/callback`])
  ]
}

interface Answer { statusCode: number, headers: Record<string, unknown>, body: string }

/** What is wrong with an answer, whatever was sent. */
function complaints (issuer: string, { statusCode, headers, body }: Answer): string[] {
  const { location = '/', ...others } = headers
  const found = (wrong: boolean, what: string) => wrong ? [what] : []
  const html = String(headers['content-type']).startsWith('text/html')
  return [
    ...found(statusCode < 200 || statusCode >= 500, `${statusCode} ${body.slice(0, 200)}`),
    ...found(
      !/^\/(?![/\\])/.test(String(location)) && !String(location).startsWith(`${issuer}/authorize?`),
      `leads to ${location}`
    ),
    ...found(JSON.stringify(others).includes(EVIL), `another site in the headers: ${JSON.stringify(others)}`),
    ...found(html && body.includes('<svg'), 'markup of the client\'s'),
    ...found(html && !/default-src 'none'/.test(String(headers['content-security-policy'])), 'a page without policy'),
    ...found(headers['cache-control'] !== 'no-store', 'may be kept'),
    // The form for name and password says itself what is wrong.
    ...found(
      statusCode >= 400 &&
        !body.includes('type="password"') &&
        codeOf({ text: body, headers: headers as Page['headers'] })?.startsWith('FST_') !== true,
      `no code: ${body.slice(0, 200)}`
    )
  ]
}

const options: LoginAppOptions = { providers, fastify: { trustProxy: true, requestIdHeader: 'request-id' } }

for (const [what, { query, headers, payload }] of Object.entries(requests)) {
  t.test(`an anonymous client that sends ${what}`, async (t) => {
    const { app, provider, browser, url } = await loginApp(t, options)
    for (const method of payload === undefined ? ['GET', 'POST'] as const : ['POST'] as const) {
      for (const path of routes[method]) {
        for (const accept of ['text/html', 'application/json']) {
          const answer = await app.inject({
            method,
            url: query === undefined ? path : `${path}?${query}`,
            headers: { accept, ...headers },
            ...(payload !== undefined && { payload })
          })
          t.strictSame(complaints(provider.issuer, answer), [], `${method} ${path} for ${accept}: ${answer.statusCode}`)
        }
      }
    }
    t.strictSame(
      provider.asked('token').filter(({ form }) => form.get('grant_type') !== 'password'),
      [],
      'no code was redeemed'
    )
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' }, 'and the app goes on')
  })
}

/** Sends bytes as they are, and returns the answers. */
async function sendRaw (url: string, bytes: string): Promise<string> {
  const { port } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(Buffer.from(bytes, 'latin1'))
  return await text(socket)
}

const rest = 'accept: text/html\r\nconnection: close\r\n\r\n'
const raw: Record<string, string> = {
  'an absolute URL of another site': `GET http://${EVIL}/login/acme?returnTo=/x HTTP/1.1\r\nhost: ${EVIL}\r\n${rest}`,
  'a path that begins with two slashes': `GET //${EVIL}/%2e%2e/members HTTP/1.1\r\nhost: a\r\n${rest}`,
  'a path with dots': `GET /members/..//${EVIL} HTTP/1.1\r\nhost: a\r\n${rest}`,
  'a path with a backslash': `GET /\\${EVIL}/members HTTP/1.1\r\nhost: a\r\n${rest}`,
  'bytes that are no ASCII': `GET /login/acme?returnTo=/\xff\xfe&state=\xc3 HTTP/1.1\r\nhost: a\r\n${rest}`,
  'bytes that are no ASCII in a cookie': 'GET /login/acme/callback?state=a&code=b HTTP/1.1\r\nhost: a\r\ncookie: ' +
    `oauth-\xff=\xfe; sessionId=\xff.\xfe\r\n${rest}`,
  'a path in a broken encoding': `GET /login/%E0%A4%A/callback?code=a&state=b HTTP/1.1\r\nhost: a\r\n${rest}`,
  'no Host': `GET /login/acme HTTP/1.0\r\n${rest}`,
  'two cookie headers': 'GET /login/acme/callback?state=a&code=b HTTP/1.1\r\nhost: a\r\ncookie: ' +
    `sessionId=a\r\ncookie: sessionId=b\r\n${rest}`,
  'two sites': 'POST /logout HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\nsec-fetch-site: ' +
    `cross-site\r\ncontent-length: 0\r\n${rest}`,
  'two origins': `POST /logout HTTP/1.1\r\nhost: a\r\norigin: OWN\r\norigin: https://${EVIL}\r\ncontent-length: ` +
    `0\r\n${rest}`
}

for (const [what, bytes] of Object.entries(raw)) {
  t.test(`an anonymous client that sends ${what}`, async t => {
    const { provider, browser, url } = await loginApp(t, {
      ...options,
      setup: app => {
        app.get('/*', { onRequest: app.oauth.requireLogin({ provider: 'acme' }) }, async () => 'members only')
      }
    })
    const answer = await sendRaw(url, bytes.replace('OWN', url))
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
    // @fastify/session has none for an absolute URL, which only proxies are sent.
    t.ok((status >= 200 && status < 500) || answer.includes('FST_OAUTH_SESSION_UNAVAILABLE'), answer)
    const [, location = '/'] = /^location: (.*)\r$/im.exec(answer) ?? []
    t.ok(/^\/(?![/\\])/.test(location) || location.startsWith(`${provider.issuer}/authorize?`), location)
    t.strictSame((await browser.login(`${url}/login/acme`)).status, 200, 'and the app goes on')
  })
}
