import type { FastifyReply } from 'fastify'
import type { PluginContext } from '../context.ts'
import { html, Markup, ownPath, page } from '../pages/html.ts'
import type { Link } from '../pages/pages.ts'
import { randomToken } from '../util/random.ts'
import { publicPath } from './paths.ts'
import { sendHtml } from './send-html.ts'

/** How a login in a popup or a frame ended. */
export interface PopupOutcome {
  outcome: 'logged_in' | 'error'
  /** Name of the provider; undefined where there is none of that name. */
  provider: string | undefined
  /** Code of the error. */
  code?: string
  /** The provider's own error, of a login with `prompt=none` that it declined. */
  oauthError?: string | undefined
  /** Path of the app that the page's link leads to. */
  returnTo?: string
  /** What the page says of an error. */
  page?: { title: string, message: string, actions: Link[] }
}

// A window that has lost its opener by a Cross-Origin-Opener-Policy reaches the app's other windows by their channel,
// which is of this origin alone.
const TELL = `
const { message, origin } = document.currentScript.dataset
const outcome = JSON.parse(message)
if (window.opener) window.opener.postMessage(outcome, origin)
else if (window.parent !== window) window.parent.postMessage(outcome, origin)
else new BroadcastChannel(outcome.type).postMessage(outcome)
window.close()
`

const LOGGED_IN = { title: 'You are logged in', message: 'You can close this window.' }
const DECLINED = { title: 'You are not logged in', message: 'Nothing was changed. You can close this window.' }

/**
 * Sends the page at the end of a login in a popup or a frame: it tells the outcome to its opener, or to the page around
 * the frame, if that is of the origin of `baseUrl`, and closes itself. Without scripts it has a link.
 */
export function sendPopupPage (
  context: PluginContext, reply: FastifyReply, popup: 'window' | 'frame',
  { outcome, provider, code, oauthError, returnTo = publicPath(context, '/'), page: said }: PopupOutcome
): FastifyReply {
  const framed = popup === 'frame'
  const scriptNonce = randomToken()
  const { title, message } = said ?? (outcome === 'logged_in' ? LOGGED_IN : DECLINED)
  const actions = said?.actions ?? [{ href: returnTo, label: 'Continue to the app' }]
  const told = JSON.stringify({ type: 'fastify-oauth-session', outcome, code, provider, oauthError })
  return sendHtml(reply, page(title, html`<h1>${title}</h1>
<p>${message}</p>
<ul>${actions.map(({ href, label }) => html`<li><a class="button" href="${ownPath(href)}">${label}</a></li>`)}</ul>
<script nonce="${scriptNonce}" data-origin="${context.config.baseUrl().origin}" data-message="${told}">${
  new Markup(TELL)}</script>`), { scriptNonce, framed })
}
