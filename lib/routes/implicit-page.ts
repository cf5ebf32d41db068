import type { FastifyReply } from 'fastify'
import { html, Markup, page } from '../pages/html.ts'
import { randomToken } from '../util/random.ts'
import { sendHtml } from './send-html.ts'

// Removes the fragment from the address bar and the history first, then posts it to the same address.
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

/** Sends the page that posts the fragment of an implicit response to the server (RFC 6749, section 4.2, D to F). */
export function sendFragmentRelay (reply: FastifyReply): FastifyReply {
  const scriptNonce = randomToken()
  return sendHtml(reply, page('Logging in', html`<h1>Logging in …</h1>
<noscript><p>This login needs JavaScript. Switch it on and load the page again.</p></noscript>
<form method="post"></form>
<script nonce="${scriptNonce}">${new Markup(RELAY)}</script>`), { formAction: ["'self'"], scriptNonce })
}
