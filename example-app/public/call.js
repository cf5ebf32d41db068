/* global fetch */
// Calls of this tab to its own server. Each names the user of the board, so that a tab that was left open never acts
// as another user who has logged in since.
import { id } from './dom.js'
import { stepUp } from './step-up.js'

const board = id('board')

export const user = board.dataset.user

/** Returns `{ ok, status, body }`; status 0 where the server does not respond. */
export async function call (method, path, body) {
  const headers = { accept: 'application/json', 'x-board-of': encodeURIComponent(user) }
  if (body !== undefined) headers['content-type'] = 'application/json'
  try {
    const response = await fetch(`/api/${path}`, { method, headers, body: body && JSON.stringify(body) })
    const answer = { ok: response.ok, status: response.status, body: await response.json().catch(() => ({})) }
    if (answer.body.code === 'FST_OAUTH_STEP_UP_REQUIRED') {
      return await stepUp(answer.body.loginUrl) ? await call(method, path, body) : answer
    }
    if (answer.status === 401) end('You are logged out.', 'Log in again')
    if (answer.status === 409) end('Another user has logged in, in another tab.', 'Show their board')
    return answer
  } catch {
    return { ok: false, status: 0, body: { message: 'The board’s server does not respond.' } }
  }
}

const endings = []

/** `stop` runs when this tab's login has ended, or is another user's. */
export function whenEnded (stop) {
  endings.push(stop)
}

/** Ends this tab's board: shows why, and a link on. */
export function end (text, link) {
  if (board.inert) return
  board.inert = true
  id('person').hidden = true
  for (const stop of endings) stop()
  id('ended-text').textContent = text
  id('ended-link').textContent = link
  id('ended').hidden = false
  id('ended-link').focus()
}
