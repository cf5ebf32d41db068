// The countdown of this login's access token. It follows the chain of refreshes: an event about a token that replaced
// this one counts, also where another tab caused it; events of other logins of the same user do not.
import { announce } from './controls.js'
import { id } from './dom.js'

let token
let clockOffset = 0
let refreshes = 0

/** Takes the response of /api/session: the token as it is now, and the server's time. */
export function setToken (session) {
  token = session.token
  clockOffset = session.now - Date.now()
  draw()
}

/** Returns whether the token that was replaced is this login's. */
export function tokenRefreshed (next) {
  if (!token || next.previous !== token.fingerprint) return false
  token = next
  refreshes++
  draw()
  return true
}

/** Shows that the login has ended, and its token with it. */
export function drawEnded () {
  token = undefined
  id('ring-left').setAttribute('stroke-dasharray', '0 100')
  id('ring-text').textContent = '–'
  id('token').dataset.state = 'over'
  id('token-life').textContent = 'ended with the login'
}

export function draw () {
  if (!token) return
  id('token-fingerprint').textContent = token.fingerprint
  id('token-refreshes').textContent = refreshes
  const lifetime = token.lifetime ?? Infinity
  const refreshedFrom = Math.min(5, lifetime / 2) // seconds: `expiryLeeway` in app.ts
  const left = token.expiresAt && Math.min(lifetime, Math.max(0, token.expiresAt - (Date.now() + clockOffset) / 1000))
  const share = left === undefined ? 1 : Math.min(1, left / (token.lifetime ?? 60))
  id('ring-left').setAttribute('stroke-dasharray', `${share * 100} 100`)
  id('ring-text').textContent = left === undefined ? '∞' : shorten(left)
  const before = id('token').dataset.state
  const state = left === undefined || left > refreshedFrom ? 'good' : left > 0 ? 'ending' : 'over'
  id('token').dataset.state = state
  if (state === 'over' && before !== 'over') announce('The access token is over. The next call refreshes it.')
  id('token-life').textContent = lifeText(state, left)
}

function lifeText (state, left) {
  if (left === undefined) return 'unknown: the provider does not say'
  if (state === 'good') return `${lengthen(left)} left`
  return state === 'ending' ? 'the next call refreshes it' : 'over; the next call refreshes it'
}

function shorten (seconds) {
  if (seconds >= 6000) return `${Math.round(seconds / 3600)} h`
  return seconds >= 100 ? `${Math.round(seconds / 60)} m` : `${Math.ceil(seconds)}`
}

function lengthen (seconds) {
  const minutes = Math.floor(seconds / 60)
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.ceil(seconds)} s`
}
