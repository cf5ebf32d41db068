import type { FastifyReply } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidIdTokenError } from '../errors.ts'
import { identify } from '../login/identity.ts'
import type { PendingLogin } from '../login/transaction.ts'
import {
  type AuthorizationExpectation,
  checkIssuer,
  checkState,
  throwAuthorizationError
} from '../oauth/authorization-response.ts'
import { readTokenResponse } from '../oauth/token-response.ts'
import { contentSecurityPolicy, html, Markup, page } from '../pages/html.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { Login } from '../session/bind-login.ts'
import { randomToken } from '../util/random.ts'
import { noStore } from './reply.ts'

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
 * Reads what the relay posted (RFC 6749, section 4.2.2; OpenID Connect Core, section 3.2.2). Without a valid ID token
 * it is no login: an access token alone may have been issued to another app, for somebody else.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
 *   FST_OAUTH_INVALID_ID_TOKEN
 */
export async function readImplicitLogin (
  context: PluginContext,
  provider: ProviderClient,
  pending: PendingLogin,
  params: URLSearchParams,
  expected: AuthorizationExpectation
): Promise<Login> {
  checkState(params, expected)
  // An ID token names its issuer itself, and providers leave `iss` out beside it (RFC 9207, section 2).
  checkIssuer(params, { ...expected, issuerPromised: expected.issuerPromised === true && !params.has('id_token') })
  throwAuthorizationError(params, provider.name)
  const read = readTokenResponse({ status: 200, headers: {}, text: params.toString() }, {
    provider: provider.name,
    now: context.clock.now(),
    grantType: 'implicit',
    scope: pending.scope,
    defaultExpiresIn: provider.config.defaultExpiresIn,
    conform: provider.config.conform
  })
  if ('error' in read) throw read.error
  const { refreshToken: _never, ...tokens } = read.tokens // RFC 6749, section 4.2.2: none is issued
  if (pending.nonce === undefined) {
    return { tokens, scopeChange: read.scopeChange, user: null, claims: {}, identityProven: false }
  }
  if (tokens.idToken === undefined) {
    throw new InvalidIdTokenError(`provider "${provider.name}" sent no ID token though "openid" was asked for`, {
      provider: provider.name,
      reason: 'missing'
    })
  }
  return { tokens, scopeChange: read.scopeChange, ...await identify(provider, tokens, pending) }
}
