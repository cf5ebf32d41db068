import type { FastifyReply } from 'fastify'
import type { PluginContext } from '../context.ts'
import { html, Markup } from '../pages/html.ts'
import { defaultPages, type Link } from '../pages/pages.ts'
import { randomToken } from '../util/random.ts'
import { publicPath } from './paths.ts'
import { documentOf, sendHtml } from './send-html.ts'

/** How a login in a popup or a frame ended. */
export interface PopupOutcome {
  outcome: 'logged_in' | 'error'
  /** Name of the provider; undefined if there is none of that name. */
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
 * Sends the page at the end of a login in a popup or a frame: it posts the outcome to its opener, or to the page around
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
  const script = html`<script nonce="${scriptNonce}" data-origin="${context.config.baseUrl().origin}" data-message="${
    told}">${new Markup(TELL)}</script>`
  // A page in a hidden frame is not seen, and frames may not show one of the app's own.
  const pages = framed ? defaultPages : context.pages
  const data = { outcome, ...(code !== undefined && { code }), title, message, actions }
  const document = withScript(documentOf(pages, 'popup', data), script)
  if (pages.popup === defaultPages.popup) return sendHtml(reply, document, { scriptNonce, framed })
  // The app's own policy could block the script, so it is replaced; styles and images are up to the app.
  reply.header('content-security-policy',
    `script-src 'nonce-${scriptNonce}'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'`)
  return sendHtml(reply, document, null)
}

/** Puts the script where the body ends; a document may leave its end out (HTML, section 13.1.2.4). */
function withScript (document: string, { text }: Markup): string {
  const end = document.toLowerCase().lastIndexOf('</body>')
  return end < 0 ? `${document}${text}` : `${document.slice(0, end)}${text}${document.slice(end)}`
}
