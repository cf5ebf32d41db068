import type { FastifyReply } from 'fastify'
import type { ProviderClient } from '../client/provider-client.ts'
import { InvalidIdTokenError } from '../errors.ts'
import { checkIssuer, checkState, throwAuthorizationError, type AuthorizationExpectation } from '../protocol/authorization-response.ts'
import { randomToken } from '../protocol/random.ts'
import { readTokenResponse } from '../protocol/token-response.ts'
import type { PendingLogin } from '../session/pending-logins.ts'
import type { Login } from './commit-login.ts'
import { noStore } from './http.ts'
import { identify } from './identity.ts'
import { contentSecurityPolicy, html, Markup, page } from './page-style.ts'
import type { Runtime } from './runtime.ts'

// Takes the fragment out of the address bar and the history before anything else, and posts it to the same address.
const RELAY = `
const fields = new URLSearchParams(location.hash.slice(1))
history.replaceState(null, '', location.pathname)
const form = document.forms[0]
for (const [name, value] of fields) {
  const input = document.createElement('input')
  input.type = 'hidden'
  input.name = name
  input.value = value
  form.append(input)
}
form.submit()
`

/** The page that hands the fragment of an implicit answer to the server (RFC 6749, section 4.2, steps D to F). */
export function sendFragmentRelay (reply: FastifyReply): FastifyReply {
  const scriptNonce = randomToken()
  return noStore(reply)
    .header('content-security-policy', contentSecurityPolicy({ formAction: ["'self'"], scriptNonce }))
    .header('x-content-type-options', 'nosniff')
    .type('text/html; charset=utf-8')
    .send(page('Logging in', html`<h1>Logging in …</h1>
<noscript><p>This login needs JavaScript. Switch it on and load the page again.</p></noscript>
<form method="post"></form>
<script nonce="${scriptNonce}">${new Markup(RELAY)}</script>`))
}

/**
 * Reads what the relay posted (RFC 6749, section 4.2.2; OpenID Connect Core, section 3.2.2). Without a valid ID token it is no
 * login: an access token alone may have been issued to another app, for somebody else.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_INVALID_ID_TOKEN
 */
export async function readImplicitLogin (runtime: Runtime, provider: ProviderClient, pending: PendingLogin, params: URLSearchParams, expected: AuthorizationExpectation): Promise<Login> {
  checkState(params, expected)
  // An ID token names its issuer itself, and providers leave `iss` out beside it (RFC 9207, section 2).
  checkIssuer(params, { ...expected, issuerPromised: expected.issuerPromised === true && !params.has('id_token') })
  throwAuthorizationError(params, provider.name)
  const read = readTokenResponse({ status: 200, headers: {}, text: params.toString() }, {
    provider: provider.name,
    now: runtime.clock.now(),
    grantType: 'implicit',
    scope: pending.scope,
    defaultExpiresIn: provider.config.defaultExpiresIn,
    conform: provider.config.conform
  })
  if ('error' in read) throw read.error
  const { refreshToken: _never, ...tokens } = read.tokens // RFC 6749, section 4.2.2: none is issued
  if (pending.nonce === undefined) return { tokens, scopeChange: read.scopeChange, user: null, claims: {}, login: false }
  if (tokens.idToken === undefined) {
    throw new InvalidIdTokenError(`provider "${provider.name}" sent no ID token though "openid" was asked for`, { provider: provider.name, reason: 'missing' })
  }
  return { tokens, scopeChange: read.scopeChange, ...await identify(provider, tokens, pending) }
}
