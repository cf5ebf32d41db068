// What must be refused, and what must be survived: each threat with the test that shows it. SECURITY.md has the list as
// a table with the results of a run, by `npm run security-table`.

export interface Entry {
  /** What goes wrong, or what an attacker does. */
  readonly threat: string
  /** From the root of the repository. */
  readonly file: string
  /** A test's whole title, or how the titles of several begin. */
  readonly title: string
}

export interface Group {
  readonly name: string
  readonly entries: readonly Entry[]
}

const inFile = (name: string, titles: Record<string, string>): Entry[] =>
  Object.entries(titles).map(([threat, title]) => ({ threat, file: `test/${name}.test.ts`, title }))

const USED_UP = 'a login is used up after '

/** Tests that reproduce a module of the OpenID Foundation's relying-party plans, under its name. */
const modules = (file: string, names: readonly string[]): Entry[] =>
  names.map(name => `oidcc-client-test${name}`).map(title => ({ threat: title, file: `test/${file}.test.ts`, title }))

export const checklist: readonly Group[] = [
  {
    name: 'Callback',
    entries: [
      ...inFile('login/callback', {
        'no state': 'a callback without state is refused',
        'an empty state': 'a callback with an empty state is refused',
        'another state': 'a callback with another state is refused',
        'login CSRF: the response of an attacker\'s login': 'login CSRF: a response that an attacker obtained',
        'login CSRF during a login of the victim\'s own': 'login CSRF: nor does it log in where the victim has a',
        'the state of another browser': 'login CSRF: the state of one browser under the cookie of another\'s login',
        'a response that is replayed': 'a callback that is opened twice logs in once',
        'two callbacks at once with one state': 'race: of two parallel callbacks with one state, one logs in',
        'a login that took too long': 'a login that came back too late is refused',
        'the state of another provider': 'mix-up: the state of one provider is refused on the callback of another',
        'state twice': 'a second state in the callback is refused',
        'code twice': 'a second code in the callback is refused',
        'HEAD, as link previews send it': 'a link preview that sends HEAD does not use up the login',
        'no code': 'a callback with no code is refused',
        'an empty code': 'a callback with an empty code is refused',
        'a blank code': 'a callback with a blank code is refused',
        'markup in `error`': 'XSS: an error of the provider\'s is not written into the page',
        'markup in `error`, for a client that takes JSON': 'XSS: for an API caller the error is JSON',
        '`iss` missing though promised': 'mix-up: a response without iss is refused where the provider promised one',
        'another `iss`': 'mix-up: a response of another issuer is refused',
        'another `iss` that was not promised':
          'mix-up: another issuer is refused even where the provider promised no iss',
        'a posted response under a Lax cookie': 'form_post with a Lax cookie, as other logins have it',
        'two tabs without a cookie before': 'two tabs, begun without any cookie, both log in',
        'two tabs of one session': 'two tabs of a browser that has a session both log in',
        'two tabs that come back at once': 'race: two tabs that come back at the same moment both log in',
        'a code of another login (PKCE)': 'code injection: a code of another login is refused by its PKCE verifier',
        'a second try after an error of the provider': `${USED_UP}the provider sent an error`,
        'a second try after a missing code': `${USED_UP}there was no code`,
        'a second try after another issuer': `${USED_UP}the issuer was another`,
        'a second try after a refused ID token': `${USED_UP}the ID token was refused`,
        'a second try after the token endpoint was down': `${USED_UP}the token endpoint was down`
      }),
      ...inFile('login/login-session', {
        'another request regenerates the session meanwhile':
          'race: a session that another request regenerates during the callback does not stop the login'
      })
    ]
  },
  {
    name: 'ID token',
    entries: [
      ...inFile('login/id-token-checklist', {
        '`alg` none': 'ID token: alg none',
        'HS256 with the public key': 'ID token: HS256 with the public key',
        'an algorithm that was not agreed': 'ID token: unexpected alg',
        'a bad signature': 'ID token: bad signature',
        'another issuer': 'ID token: iss',
        'another audience': 'ID token: aud wrong',
        'no audience': 'ID token: aud missing',
        'several audiences without `azp`': 'ID token: several aud without azp',
        'another `azp`': 'ID token: azp wrong',
        'no `exp`': 'ID token: exp missing',
        expired: 'ID token: exp past',
        'no `iat`': 'ID token: iat missing',
        '`iat` in the future': 'ID token: iat future',
        'another nonce': 'ID token: nonce wrong',
        'no nonce': 'ID token: nonce missing',
        '`at_hash` of another access token': 'ID token: at_hash',
        'no subject': 'ID token: sub missing',
        'an authentication older than `max_age`': 'ID token: auth_time older than max_age',
        'an unknown key id': 'ID token: unknown kid: one refetch, then a pause',
        'a key that is rotated during the login': 'ID token: key rotated mid-login',
        'no key id among several keys': 'ID token: no kid and several keys',
        'a huge key set': 'ID token: JWKS huge',
        'a slow key set': 'ID token: JWKS slow',
        'a key by URL in the header (`jku`)': 'ID token: jku header',
        'a certificate by URL in the header (`x5u`)': 'ID token: x5u header',
        'a key in the header (`jwk`)': 'ID token: jwk header',
        'userinfo of another user': 'ID token: userinfo sub differs',
        'a refreshed ID token of another user': 'ID token: refreshed ID token with another sub',
        'a refreshed ID token of another issuer': 'ID token: refreshed ID token with another iss'
      }),
      ...inFile('login/refreshed-id-token', {
        'a refreshed ID token with another nonce':
          'a refreshed ID token with another nonce is refused; tokens and login stay',
        'a refreshed ID token with another `auth_time`':
          'a refreshed ID token with another auth_time, that of the refresh is refused; tokens and login stay',
        'a refreshed ID token for another audience':
          'a refreshed ID token with another audience, or another authorized party, is refused'
      })
    ]
  },
  {
    name: 'Endpoints',
    entries: [
      ...inFile('providers/discovery', {
        'HTML in place of tokens': 'a token endpoint that responds with HTML with status 200 does not log in',
        'a huge token response': 'a token endpoint that responds with four megabytes does not log in',
        'a gzip bomb': 'a token endpoint that responds with a gzip bomb does not log in',
        'a token endpoint that drips': 'a token endpoint that drips for ever is given up after requestTimeout',
        'a token endpoint that fails (5xx)': 'a token endpoint that responds with a 500 does not log in',
        'a token endpoint that redirects': 'a token endpoint that redirects with 307 does not get the secret handed on',
        'odd `expires_in`': 'expires_in of ',
        'a line break in a token':
          'a token endpoint that responds with a token with a line break in it does not log in',
        '`__proto__` in a token response': 'a member called __proto__ in the token response changes no prototype',
        'metadata of another issuer': 'no login begins where the provider\'s metadata names another issuer',
        'metadata that leads to plain http':
          'no login begins where the provider\'s metadata sends the browser over plain http',
        'a token endpoint over plain http': 'a token endpoint that is plain http, elsewhere, gets no secret'
      }),
      ...inFile('plugin/options', {
        'an issuer over plain http': 'an issuer over plain http: the app does not boot, and is told what to write'
      }),
      ...inFile('calls/token-placement', {
        'an unknown `token_type`': 'a token that is no bearer token is not sent as one'
      }),
      ...inFile('login/pushed-authorization', {
        'a pushed request that fails': 'PAR error',
        'a `request_uri` that has expired': 'expired request_uri'
      }),
      ...inFile('calls/dpop', {
        'a DPoP nonce is asked for': 'DPoP nonce asked once more, htu right'
      }),
      ...inFile('login/resource-indicators', {
        '`resource` is lost with a refresh': '`resource` kept on refresh'
      }),
      ...inFile('tokens/records', {
        'a refresh without a new refresh token': 'a refresh token that is not issued anew stays good'
      }),
      ...inFile('tokens/refresh', {
        '`invalid_grant` at a refresh ends the login': 'invalid_grant ends the login as FST_OAUTH_LOGIN_ENDED',
        'a provider that is down (5xx) does not': 'a provider that is down is a 503 with its Retry-After'
      }),
      ...inFile('standalone/session', {
        'introspection says `active: false`': 'introspection: an expired or revoked token is reported as inactive'
      })
    ]
  },
  {
    name: 'Web',
    entries: [
      ...inFile('routes/return-to', {
        'open redirect after a login': 'open redirect: a login leads to no other place than the app',
        'open redirect from a guarded page': 'open redirect: a page that asks for a login does not lead elsewhere'
      }),
      ...inFile('routes/logout', {
        'open redirect after a logout': 'open redirect: a logout does not lead to ',
        'POST /logout from another site': 'logout CSRF: a POST with Sec-Fetch-Site: cross-site is refused',
        'GET /logout': 'logout CSRF: GET /logout asks, and does nothing',
        'more in a cookie than it holds':
          'a returnTo that no cookie can remember leads home after a logout, and the log says so'
      }),
      ...inFile('routes/forwarded-headers', {
        '`Host` and `X-Forwarded-Host` of an attacker': 'Host and X-Forwarded-Host do not get into the redirect URI',
        'a secure cookie without `trustProxy`':
          'a secure session cookie over http, where a proxy ends TLS and is not trusted'
      }),
      ...inFile('login/login-session', {
        'session fixation': 'session fixation: the session has a new id after the login, and the old one has ended',
        'session fixation: fields set before the login':
          'session fixation: the contents of the session before the login'
      }),
      ...inFile('login/anonymous-logins', {
        'logins that are begun and never finished, in memory':
          '100,000 anonymous GET /login with the in-memory store: ten thousand are kept',
        'logins that are begun and never finished, in Redis':
          '100,000 anonymous GET /login with Redis: nothing stays in the process'
      }),
      ...inFile('routes/responses', {
        'a cache keeps an answer of login, callback or logout': 'no response of login, callback or logout may be cached'
      }),
      ...inFile('plugin/log', {
        'secrets in the log': 'a login, calls, a refresh and a logout leave no secret in the log',
        'secrets in the log of a failure': 'the log names the cause and no secret where '
      })
    ]
  },
  {
    name: 'Client',
    entries: [
      ...inFile('calls/resource-url', {
        'a URL outside of `resourceServers`': '"https://evil.example/v1/orders" is not covered',
        'plain http': '"http://api.example/v1/orders" would not be encrypted',
        'a user name in the URL': '"https://api.example@evil.example/v1/orders" is not covered',
        'a backslash in the URL': `${JSON.stringify('/\\evil.example')} is refused as ambiguous`,
        'a host that begins alike': '"https://api.example.evil/v1/orders" is not covered',
        'another port': '"https://api.example:444/v1/orders" is not covered',
        'a path that leads out': '"orders/../../admin" is refused as ambiguous',
        'a path that leads out, by every way to call': '../admin is refused by every way to call, and nothing is sent'
      }),
      ...inFile('calls/redirect', {
        'a redirect to another origin': 'a 302 that leaves the list is followed, without anything that names the user',
        'a redirect from https to http': 'a redirect from https to http is refused'
      }),
      ...inFile('calls/retry', {
        'a stream as body, and a 401': 'a Readable is not sent again: the 401 comes back',
        'a second 401': 'a second 401 is handed out, and does not loop'
      }),
      ...inFile('tokens/refresh', {
        'a logout during a refresh':
          'a logout during a refresh stays a logout, and what the refresh brought is revoked',
        'calls side by side with an expired token': '200 concurrent calls with an expired token make one token request'
      }),
      ...inFile('tokens/processes', {
        'the same on several processes': 'any number of calls with an expired token on ',
        'a store that fails after a rotation': 'a store that fails right after the provider has rotated loses nothing'
      })
    ]
  },
  {
    name: 'Back-channel logout',
    entries: [
      ...inFile('routes/backchannel-logout', {
        '`alg` none': 'a logout token with alg none is refused',
        'HS256 with the public key': 'a logout token with HS256 with the public key is refused',
        'an algorithm that the provider does not name':
          'a logout token with an algorithm that the provider does not name is refused',
        'another issuer': 'a logout token with another issuer is refused',
        'another audience': 'a logout token with another audience is refused',
        'another event': 'a logout token with another event is refused',
        'no event': 'a logout token with no event is refused',
        'a nonce': 'a logout token with a nonce is refused',
        'neither `sub` nor `sid`': 'a logout token with neither sub nor sid is refused',
        'a token of ten minutes ago': 'a logout token with an iat of ten minutes ago, whatever its exp is refused',
        'a `jti` that was used': 'a logout token that was carried out is refused the second time'
      }),
      ...inFile('session/backchannel-logout', {
        'a login after a logout by `sub`': 'a login after a logout by sub works, at once'
      })
    ]
  },
  {
    name: 'More',
    entries: [
      ...inFile('routes/cross-site', {
        'an attacker\'s account is added to a login':
          'a link to gh that another site starts does not go to the provider unasked'
      }),
      ...inFile('login/add-account', {
        'an account is added to a later login than the one that asked':
          'account linking: after another login the session that asked is over, and nothing is added',
        'accounts of one user go over to another':
          'account linking: another user of the same provider gets a session of their own'
      }),
      ...inFile('routes/step-up', {
        'a step-up that comes back as another user': 'step-up that returns another sub is a new login'
      }),
      ...inFile('login/password', {
        'a password posted from another site': 'password: a post from another site is refused',
        'passwords guessed for one user': 'password: guessing is slowed down by user name',
        'passwords guessed from one address': 'password: guessing is slowed down by address'
      }),
      ...inFile('routes/logout', {
        '`Origin: null`': 'logout CSRF: a POST with Origin: null, from a sandboxed frame is refused',
        'the way back from a logout with another state': 'a logout callback with another state is refused',
        'the way back from the logout of another browser':
          'the callback of a logout that another browser began is refused',
        'a store that is down at logout': 'a store that is down at logout: 503, and the user is still logged in'
      }),
      ...inFile('login/implicit', {
        'an implicit answer without ID token': 'implicit: an access token without an ID token does not log in'
      }),
      ...inFile('security/lessons', {
        'a popup hands its result to any opener':
          'popup: no page but that of a popup posts a message to the window that opened it',
        'an e-mail address that another user claims': 'an unverified e-mail is not an identity'
      }),
      ...inFile('login/pending-logins', {
        'a prefetch of the login': 'a prefetch of /login begins no login'
      }),
      ...inFile('calls/dpop', {
        'a bound token is sent as Bearer': 'a DPoP-bound token never sent as Bearer'
      }),
      ...inFile('calls/token-placement', {
        'a token of the query in an error': 'a token in the query'
      }),
      ...inFile('calls/redirect', {
        'a token of the query in `Response.url`': 'a token in the query'
      }),
      ...inFile('session/lifetimes', {
        'a login that never ends': 'an absolute login lifetime: a login that is in use all the time ends'
      }),
      ...inFile('tokens/refresh', {
        '`onTokens` more than once': 'onTokens is awaited, once a set, before any call goes out with it',
        '`onTokens` that calls an API': 'onTokens may use request.oauth without waiting for itself'
      }),
      ...inFile('routes/backchannel-logout', {
        'a `jti` remembered before the logout took effect': 'a store that is down: 503 and nothing remembered',
        'a `jti` that cannot be remembered': 'a store that takes everything but the jti: 503'
      }),
      ...inFile('session/backchannel-logout', {
        'a back-channel logout during a callback':
          'a store that serializes: race: a login under way is not made once the provider has ended its session'
      }),
      ...inFile('session/late-session-save', {
        'a request between the two steps of a logout':
          'a request that comes between the logout and the end of the session in the store'
      }),
      ...inFile('calls/dispatcher', {
        'a token request through a dispatcher that follows redirects': 'a token request is not carried on'
      })
    ]
  },
  {
    name: 'OpenID Foundation modules',
    entries: [
      ...modules('login/relying-party', [
        '', '-invalid-iss', '-missing-sub', '-invalid-aud', '-missing-aud', '-missing-iat',
        '-kid-absent-single-jwks', '-kid-absent-multiple-jwks',
        '-idtoken-sig-rs256', '-idtoken-sig-none', '-invalid-sig-rs256', '-invalid-sig-hs256', '-invalid-sig-es256',
        '-invalid-athash', '-nonce-invalid',
        '-userinfo-invalid-sub', '-userinfo-bearer-header', '-scope-userinfo-claims', '-client-secret-basic',
        '-form-post-error', '-3rd-party-init-login',
        '-discovery-openid-config', '-discovery-jwks-uri-keys', '-discovery-issuer-mismatch',
        '-signing-key-rotation', '-signing-key-rotation-just-before-signing',
        '-refresh-token', '-refresh-token-invalid-issuer', '-refresh-token-invalid-sub',
        '-rp-init-logout', '-rp-init-logout-no-state', '-rp-init-logout-other-state',
        '-rp-backchannel-rpinitlogout', '-rp-backchannel-rpinitlogout-alg-none',
        '-rp-backchannel-rpinitlogout-no-event', '-rp-backchannel-rpinitlogout-with-nonce',
        '-rp-backchannel-rpinitlogout-wrong-alg', '-rp-backchannel-rpinitlogout-wrong-aud',
        '-rp-backchannel-rpinitlogout-wrong-event', '-rp-backchannel-rpinitlogout-wrong-iss'
      ])
    ]
  },
  {
    name: 'Advisories of other packages',
    entries: [
      ...inFile('login/callback', {
        '@fastify/oauth2 CVE-2023-31999: one state for all users': 'state, nonce and verifier are new for each login',
        'next-auth CVE-2023-27490: a failed check leaves the login pending': `${USED_UP}the ID token was refused`,
        'next-auth CVE-2026-73419: checks that do not hold for the provider':
          'mix-up: the state of one provider is refused on the callback of another',
        'nextjs-auth0 CVE-2021-32702: XSS in the error page':
          'XSS: an error of the provider\'s is not written into the page'
      }),
      ...inFile('login/login-session', {
        '@fastify/passport CVE-2023-29019, passport CVE-2022-25896, express-openid-connect CVE-2021-41246: fixation':
          'session fixation: the session has a new id after the login, and the old one has ended',
        '@fastify/passport CVE-2023-29020: fields of the session before the login':
          'session fixation: the contents of the session before the login',
        'next-auth CVE-2023-48309: a pending login counts as a session':
          'a pending login is no session: neither its cookie nor its record logs in'
      }),
      ...inFile('routes/return-to', {
        'express-openid-connect CVE-2022-24794, better-auth CVE-2024-56734 and CVE-2025-27143: open redirects':
          'open redirect: a login leads to no other place than the app'
      }),
      ...inFile('tokens/processes', {
        'better-auth CVE-2026-53517: refreshes at once fork the family of tokens':
          'any number of calls with an expired token on '
      }),
      ...inFile('routes/responses', {
        'nextjs-auth0 CVE-2025-48947: answers with a session in a cache':
          'no response of login, callback or logout may be cached'
      }),
      ...inFile('routes/cache-control', {
        'the same, of the app\'s own routes':
          'an answer that gives the browser a session cookie is not for a shared cache'
      }),
      ...inFile('login/pending-logins', {
        'nextjs-auth0 CVE-2026-40155: the result of one user\'s request for another':
          'requests of two users at the same moment each see their own'
      }),
      ...inFile('routes/forwarded-headers', {
        'fastify CVE-2026-3635: forwarded headers of an attacker':
          'Host and X-Forwarded-Host do not get into the redirect URI'
      }),
      ...inFile('calls/redirect', {
        'undici CVE-2024-24758, CVE-2023-45143: headers that go along with a redirect':
          'a 302 that leaves the list is followed, without anything that names the user'
      }),
      ...inFile('calls/response', {
        'undici CVE-2026-22036: a response that is packed to be small': 'a gzip bomb is refused'
      }),
      ...inFile('security/lessons', {
        'undici before 7.29.0': 'undici 7.29.0 at least: by the range in package.json, and as it is installed'
      })
    ]
  }
]
