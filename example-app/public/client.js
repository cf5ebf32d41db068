/* global document, fetch */
// Calls of this tab to its own server. Each says whose board it is, so that a tab which was left open never acts for
// somebody else who has logged in since.
const board = document.getElementById('board')

export const user = board.dataset.user

/** Returns `{ ok, status, body }`; a server that does not answer counts as status 0. */
export async function call (method, path, body) {
  const headers = { accept: 'application/json', 'x-board-of': encodeURIComponent(user) }
  if (body !== undefined) headers['content-type'] = 'application/json'
  try {
    const response = await fetch(`/api/${path}`, { method, headers, body: body && JSON.stringify(body) })
    const answer = { ok: response.ok, status: response.status, body: await response.json().catch(() => ({})) }
    if (answer.status === 401) end('You are logged out.', 'Log in again')
    if (answer.status === 409) end('Somebody else has logged in, in another tab.', 'Show their board')
    return answer
  } catch {
    return { ok: false, status: 0, body: { message: 'The board’s server does not answer.' } }
  }
}

const endings = []

/** Runs when this tab has nothing more to show: the person is logged out, or is another. */
export function whenEnded (stop) {
  endings.push(stop)
}

/** This tab is done. It says why, and offers the way on. */
export function end (text, link) {
  if (board.inert) return
  board.inert = true
  document.getElementById('person').hidden = true
  for (const stop of endings) stop()
  document.getElementById('ended-text').textContent = text
  document.getElementById('ended-link').textContent = link
  document.getElementById('ended').hidden = false
  document.getElementById('ended-link').focus()
}
