import { createHash } from 'node:crypto'
import { test } from 'tap'
import { contentSecurityPolicy, escapeHtml } from '../../lib/pages/html.ts'
import { describeError } from '../../lib/pages/error-texts.ts'
import { defaultPages } from '../../lib/pages/pages.ts'

const hostile = '</title></style></p>"\'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'

const codes: Array<[code: string, statusCode: number]> = [
  ['FST_OAUTH_STATE_MISMATCH', 400],
  ['FST_OAUTH_AUTHORIZATION_FAILED', 400],
  ['FST_OAUTH_AUTHORIZATION_FAILED', 403],
  ['FST_OAUTH_INVALID_TOKEN_RESPONSE', 502],
  ['FST_OAUTH_INVALID_ID_TOKEN', 502],
  ['FST_OAUTH_PROVIDER_UNAVAILABLE', 503],
  ['FST_OAUTH_STORE_UNAVAILABLE', 503],
  ['FST_OAUTH_LOGIN_REQUIRED', 401],
  ['FST_OAUTH_LOGIN_ENDED', 401],
  ['FST_OAUTH_TOKEN_EXPIRED', 401],
  ['FST_OAUTH_REFRESH_LOST', 401],
  ['FST_OAUTH_CROSS_SITE_REQUEST', 403],
  ['FST_OAUTH_UNKNOWN_PROVIDER', 404],
  ['FST_OAUTH_TOO_MANY_ATTEMPTS', 429],
]

/** Every page, with one text in every field that takes a text for people. */
function everyPage (text: string, path = '/on'): Record<string, string> {
  const links = [{ href: path, label: text }, { href: path, label: text }]
  return {
    chooser: defaultPages.chooser({ providers: links, heading: text }),
    error: defaultPages.error({
      code: text,
      statusCode: 400,
      title: text,
      message: text,
      requestId: text,
      actions: links
    }),
    logoutConfirmation: defaultPages.logoutConfirmation({
      action: path,
      userName: text,
      returnTo: text,
      cancelHref: path
    }),
    loggedOut: defaultPages.loggedOut({ actions: links }),
    loginForm: defaultPages.loginForm({ action: path, provider: text, username: text, error: text, returnTo: text }),
    onward: defaultPages.onward({ title: text, message: text, href: path }),
    popup: defaultPages.popup({ outcome: 'error', title: text, message: text, actions: links }),
  }
}

/** How many texts in each page are not the page's own. */
const textsGiven: Record<string, number> = {
  chooser: 4, error: 7, logoutConfirmation: 2, loggedOut: 2, loginForm: 5, onward: 3, popup: 5
}

/** The page's tags, in order, without what is interpolated between them. */
function tagsOf (page: string): string[] {
  return [...page.matchAll(/<\/?[a-z][a-z0-9]*/g)].map(([tag]) => tag)
}

function styleOf (page: string): string {
  return /<style>([^]*)<\/style>/.exec(page)?.[1] ?? ''
}

test('escapeHtml leaves no character that could end a text or a quoted attribute', async (t) => {
  t.equal(escapeHtml('<a b="c" d=\'e\'>&amp;'), '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;')
})

for (const [name, page] of Object.entries(everyPage(hostile))) {
  test(`${name}: a hostile text in every field adds no tag`, async (t) => {
    t.strictSame(tagsOf(page), tagsOf(everyPage('harmless')[name]!))
  })

  test(`${name}: a hostile text is shown as it is, escaped, wherever it was given`, async (t) => {
    t.equal(page.split(escapeHtml(hostile)).length - 1, textsGiven[name])
    t.notMatch(page, hostile)
  })

  test(`${name}: a hostile path cannot leave its attribute`, async (t) => {
    const withPath = everyPage('harmless', '/"><script>alert(1)</script>\'')[name]!
    t.strictSame(tagsOf(withPath), tagsOf(everyPage('harmless')[name]!))
  })

  test(`${name}: has a language, one title, one main and one h1`, async (t) => {
    t.match(page, /^<!doctype html>\n<html lang="en">/)
    for (const tag of ['<title', '<main', '<h1']) {
      t.equal(tagsOf(page).filter((candidate) => candidate === tag).length, 1, tag)
    }
  })

  test(`${name}: can be zoomed on a phone`, async (t) => {
    t.match(page, '<meta name="viewport" content="width=device-width, initial-scale=1">')
  })

  test(`${name}: has no script, no inline handler and no style attribute`, async (t) => {
    const harmless = everyPage('harmless')[name]!
    t.notMatch(harmless, /<script/i)
    t.notMatch(harmless, /<[^>]*\s(?:on\w+|style)=/i)
  })

  test(`${name}: loads nothing`, async (t) => {
    t.notMatch(everyPage('harmless')[name]!, /<[^>]*\ssrc=|<link|@import|url\(/i)
  })

  test(`${name}: the policy allows the very style sheet that is sent`, async (t) => {
    const hash = createHash('sha256').update(styleOf(page)).digest('base64')
    t.match(contentSecurityPolicy(), `style-src 'sha256-${hash}'`)
  })

  test(`${name}: sends no path of its own as a Referer, yet an Origin with its form`, async (t) => {
    t.match(page, '<meta name="referrer" content="strict-origin">')
  })
}

for (const href of [
  'javascript:alert(1)', 'https://elsewhere.example/', '//elsewhere.example', '/\\elsewhere.example',
  '/\t/elsewhere.example', '\n//elsewhere.example', 'data:text/html,x', 'relative', '',
]) {
  test(`a link to ${JSON.stringify(href)} leads to the app's start page`, async (t) => {
    // The one that goes on by itself leads to the provider too.
    const { onward: _onward, ...pages } = everyPage('harmless', href)
    for (const page of Object.values(pages)) {
      for (const [, target] of page.matchAll(/(?:href|action)="([^"]*)"/g)) t.equal(target, '/')
    }
  })
}

test('a link keeps its path and query', async (t) => {
  const page = defaultPages.loggedOut({ actions: [{ href: '/app/login/acme?returnTo=%2Fa%3Fb&x=ü', label: 'Log in' }] })
  t.match(page, 'href="/app/login/acme?returnTo=%2Fa%3Fb&amp;x=ü"')
})

test('chooser: one link a provider, in a navigation named by the heading', async (t) => {
  const page = defaultPages.chooser({ providers: [{ href: '/login/a', label: 'A' }, { href: '/login/b', label: 'B' }] })
  t.match(page, /<h1 id="heading">Log in<\/h1>/)
  t.match(page, /<nav aria-labelledby="heading">/)
  t.strictSame([...page.matchAll(/<a [^>]*href="([^"]*)">([^<]*)/g)].map(([, href, label]) => [href, label]),
    [['/login/a', 'A'], ['/login/b', 'B']])
})

test('error: shows the code as a reference, and the request id', async (t) => {
  const page = defaultPages.error({
    code: 'FST_OAUTH_STATE_MISMATCH', statusCode: 400, title: 'T', message: 'M', requestId: 'req-7', actions: []
  })
  t.match(page, 'Reference: <code>FST_OAUTH_STATE_MISMATCH</code>')
  t.match(page, 'Request: <code>req-7</code>')
})

test('error: without request id and actions there is neither an empty line nor an empty list', async (t) => {
  const page = defaultPages.error({ code: 'C', statusCode: 400, title: 'T', message: 'M', actions: [] })
  t.notMatch(page, 'Request:')
  t.notMatch(page, '<ul')
})

test('error: the first action alone stands out', async (t) => {
  const page = defaultPages.error({
    code: 'C',
    statusCode: 400,
    title: 'T',
    message: 'M',
    actions: [{ href: '/a', label: 'A' }, { href: '/b', label: 'B' }]
  })
  t.match(page, '<a class="button primary" href="/a">')
  t.match(page, '<a class="button" href="/b">')
})

test('logoutConfirmation: a form with one button, sent by POST', async (t) => {
  const page = defaultPages.logoutConfirmation({ action: '/logout' })
  t.match(page, '<form method="post" action="/logout">')
  t.equal(tagsOf(page).filter((tag) => tag === '<button').length, 1)
})

test('logoutConfirmation: sends returnTo on only where there is one', async (t) => {
  t.match(defaultPages.logoutConfirmation({ action: '/logout', returnTo: '/bye' }),
    '<input type="hidden" name="returnTo" value="/bye">')
  t.notMatch(defaultPages.logoutConfirmation({ action: '/logout' }), 'returnTo')
})

test('logoutConfirmation: the way to stay logged in is the start page unless another is given', async (t) => {
  t.match(defaultPages.logoutConfirmation({ action: '/logout' }), /href="\/">Stay logged in/)
  t.match(defaultPages.logoutConfirmation({ action: '/logout', cancelHref: '/app' }), /href="\/app">Stay logged in/)
})

test('loginForm: each field a person fills in has a label and says what a password manager may fill in', async (t) => {
  const page = defaultPages.loginForm({ action: '/login/acme', provider: 'Acme' })
  t.match(
    page,
    /<label for="username">Username<\/label>\n<input id="username" name="username"[^>]* autocomplete="username"/
  )
  t.match(
    page,
    /<label for="password">Password<\/label>\n<input id="password" name="password" type="password"[^>]* autocomplete="current-password"/
  )
})

test('loginForm: sends returnTo', async (t) => {
  const page = defaultPages.loginForm({ action: '/login/acme', provider: 'Acme', returnTo: '/orders' })
  t.match(page, '<input type="hidden" name="returnTo" value="/orders">')
})

test('loginForm: an error is an alert, and describes the field that has the focus', async (t) => {
  const page = defaultPages.loginForm({ action: '/login/acme', provider: 'Acme', error: 'Not right.' })
  t.match(page, /role="alert" id="error">Not right\.</)
  t.match(page, /<input id="password"[^>]* aria-describedby="error" autofocus>/)
  t.match(page, '<title>Error: Log in to Acme</title>')
})

test('loginForm: without an error there is no alert', async (t) => {
  t.notMatch(defaultPages.loginForm({ action: '/login/acme', provider: 'Acme' }), /role="alert"|autofocus|Error/)
})

test('loginForm: the password that was typed is never in the page', async (t) => {
  t.notMatch(everyPage('x')['loginForm']!, /<input id="password"[^>]* value=/)
})

test('contentSecurityPolicy: forbids all but the style sheet', async (t) => {
  t.match(contentSecurityPolicy(),
    /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; frame-ancestors 'none'; form-action 'none'$/)
})

test('contentSecurityPolicy: form-action names origins, each once', async t => {
  t.match(
    contentSecurityPolicy({
      formAction: ["'self'", 'https://id.acme.example/logout?a=1', 'https://id.acme.example', 'http://localhost:3000/x']
    }),
    /; form-action 'self' https:\/\/id\.acme\.example http:\/\/localhost:3000$/
  )
})

test('contentSecurityPolicy: a script runs by its nonce, and only where there is one', async (t) => {
  t.match(contentSecurityPolicy({ scriptNonce: 'abc' }), /; script-src 'nonce-abc'; base-uri 'none'; /)
})

test('contentSecurityPolicy: form-action may be opened to every https host', async (t) => {
  t.match(contentSecurityPolicy({ formAction: ["'self'", 'https:'] }), /; form-action 'self' https:$/)
})

test('contentSecurityPolicy: nothing that is given can start another directive', async t => {
  const formAction = [
    'https://a;script-src', "https://a.example'; script-src *", 'https://a,b', '*', 'data:', "'unsafe-inline'",
    '', 'not a url'
  ]
  t.match(contentSecurityPolicy({ formAction }), /; form-action 'none'$/)
})

for (const [code, statusCode] of codes) {
  test(`describeError: ${code} (${statusCode}) has a text of its own, in plain words`, async (t) => {
    const { title, message } = describeError(code, statusCode, 'Acme')
    const others = codes.filter(([other, status]) => other !== code || status !== statusCode)
      .concat([['FST_OAUTH_ELSE', 400], ['FST_OAUTH_ELSE', 500]])
      .map(([other, status]) => describeError(other, status, 'Acme'))
    t.notOk(others.some((other) => other.title === title || other.message === message))
    t.notMatch(`${title} ${message}`, /token|oauth|state|session|provider|callback|cookie|http|undefined|FST_/i)
  })
}

test('describeError: names the provider where that helps', async (t) => {
  t.match(describeError('FST_OAUTH_PROVIDER_UNAVAILABLE', 503, 'Acme').message, 'We cannot reach Acme at the moment')
  t.match(
    describeError('FST_OAUTH_PROVIDER_UNAVAILABLE', 503).message,
    'We cannot reach the login service at the moment'
  )
})

test('describeError: what another website started is not to be tried again, nor a login that does not ' +
  'exist', async t => {
  t.strictSame(
    codes.filter(([code, statusCode]) => !describeError(code, statusCode).retry).map(([code]) => code),
    ['FST_OAUTH_CROSS_SITE_REQUEST', 'FST_OAUTH_UNKNOWN_PROVIDER']
  )
})

test('describeError: a logout that cannot be finished is not called a login', async (t) => {
  const { title, message, retry } = describeError('FST_OAUTH_STATE_MISMATCH', 400, 'Acme', 'logout')
  t.match(`${title} ${message}`, 'logout')
  t.notMatch(`${title} ${message}`, /login|token|state|session/i)
  t.notOk(retry)
})

test('describeError: an unknown code is described by its status', async (t) => {
  t.ok(describeError('FST_OAUTH_ELSE', 500).retry)
  t.notOk(describeError('FST_OAUTH_ELSE', 400).retry)
})

test('describeError: a code that is a name in Object.prototype is an unknown code', async (t) => {
  for (const code of ['constructor', 'toString', '__proto__']) {
    t.strictSame(describeError(code, 400), describeError('FST_OAUTH_ELSE', 400))
  }
})

for (const scheme of ['light', 'dark']) {
  test(`the ${scheme} colours have the contrast that WCAG 2.2 asks for at level AA`, async t => {
    const [light = '', dark = ''] = styleOf(defaultPages.loggedOut({ actions: [] })).split(
      '@media (prefers-color-scheme: dark)'
    )
    const colors = Object.fromEntries(
      [...(scheme === 'light' ? light : dark).matchAll(/--([\w-]+): #(\w{6});/g)].map(([, name, value]) => [
        name,
        value
      ])
    )
    const pairs: Array<[string, string, number]> = [
      ['text', 'card', 4.5],
      ['text', 'hover', 4.5],
      ['quiet', 'ground', 4.5],
      ['on-accent', 'accent', 4.5],
      ['on-accent', 'accent-strong', 4.5],
      ['alarm', 'alarm-ground', 4.5],
      ['control-edge', 'card', 3],
      ['accent', 'card', 3]
    ]
    for (const [one, other, least] of pairs) {
      t.ok(contrast(colors[one], colors[other]) >= least, `${one} on ${other}`)
    }
  })
}

/** The contrast ratio of two `rrggbb` colours: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio */
function contrast (one = '', other = ''): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (lighter + 0.05) / (darker + 0.05)
}

function luminance (color: string): number {
  const [red = NaN, green = NaN, blue = NaN] = (color.match(/../g) ?? []).map((pair) => {
    const value = parseInt(pair, 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
