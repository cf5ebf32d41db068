import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { kindOfState } from '../login/state-kind.ts'
import { html, Markup, page } from '../pages/html.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { destroySession, sessionOf } from '../session/fastify-session.ts'
import { randomToken } from '../util/random.ts'
import { needsSession } from './login-cookie.ts'
import { keepOpener } from './popup.ts'
import { sendHtml } from './send-html.ts'
import { isStrict } from './strict-cookie.ts'

const SUBMIT = 'document.forms[0].submit()'

/**
 * Posts a response once more, from a page of the app's own, if its login needs the session (to add an account, to
 * end the login before, or for fields that survive) and it came without: the provider made the browser post it, and no
 * browser sends a Lax cookie with a post of another site. With a strict session cookie any response is posted once
 * more: what follows the login needs the session too.
 * @returns whether it did; a reply that is awaited has no value
 */
export async function relayPostedResponse (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  { params, state }: { params: URLSearchParams, state: string | undefined }
): Promise<boolean> {
  const session = sessionOf(request)
  if (context.sessionCookie.namesOf(request.cookies, session).length > 0) return false
  if (!isStrict(session) && !await needsSession(context, request, provider, state)) return false
  // The session that was made for this request must not take the place of the browser's own.
  await destroySession(request)
  if (state !== undefined && kindOfState(state) === 'popup') keepOpener(reply)
  const scriptNonce = randomToken()
  const fields = [...params].map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)
  sendHtml(reply, page('Logging in', html`<h1>Logging in …</h1>
<form method="post">${fields}<button type="submit" class="button">Continue</button></form>
<script nonce="${scriptNonce}">${new Markup(SUBMIT)}</script>`), { formAction: ["'self'"], scriptNonce })
  return true
}
