/* global document, setInterval, clearInterval, window */
// The board's script: calls, shows the responses, and follows the events. It holds no token.
import { call, end, user, whenEnded } from './call.js'
import { announce, onClick } from './controls.js'
import { draw, drawEnded, setToken, tokenRefreshed } from './countdown.js'
import { element, id } from './dom.js'
import { listen, setLogin, stopListening } from './event-list.js'
import { showOrders, takeOrders, tokenReplaced } from './orders.js'

const showsOrders = id('orders') !== null
let calling

async function callOnce () {
  const answer = await call('GET', showsOrders ? 'orders' : 'userinfo')
  if (answer.ok) (showsOrders ? showOrders : showClaims)(answer.body)
  if (id('board').inert) return answer
  tell(answer.ok ? '' : `The call failed${answer.status ? ` (${answer.status})` : ''}. ${answer.body.message ?? ''}`)
  return answer
}

async function callNow () {
  const { ok } = await callOnce()
  announce(ok ? 'The call was answered.' : id('call-result').textContent)
}

async function callBurst () {
  const answers = await Promise.all(Array.from({ length: 20 }, callOnce))
  const good = answers.filter(({ ok }) => ok).length
  tell(`${good} of ${answers.length} calls were answered.`)
  announce(id('call-result').textContent)
}

function callAlways () {
  clearInterval(calling)
  if (id('call-always').checked && document.visibilityState === 'visible') calling = setInterval(callOnce, 5000)
}

async function resume () {
  if (document.visibilityState !== 'visible' || id('board').inert) return
  const session = await call('GET', 'session')
  if (session.ok && session.body.user !== user) {
    return end('Another user has logged in, in another tab.', 'Show their board')
  }
  if (session.status === 401) return
  if (session.ok) {
    setLogin(session.body.login)
    setToken(session.body)
  }
  listen({
    onEvent (event) {
      if (event.kind === 'refresh' && tokenRefreshed(event.token)) tokenReplaced(event.token.previous)
      if (event.kind !== 'call' && event.id > openedAt) announce(event.text)
    },
    onRefused: () => setTimeout(resume, 1000),
  })
  callAlways()
  callOnce()
}

function pause () {
  clearInterval(calling)
  stopListening()
}

const openedAt = Date.now()
id('board').hidden = false // it needs this script
const drawing = setInterval(draw, 250)
onClick(id('call-once'), callNow)
onClick(id('call-burst'), callBurst)
id('call-always').addEventListener('change', callAlways)
id('board').addEventListener('board-changed', callOnce)
id('board').addEventListener('login-changed', resume) // a step-up brings a new token
takeOrders(callOnce)
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' ? resume() : pause())
window.addEventListener('pageshow', ({ persisted }) => { if (persisted) resume() })
whenEnded(() => {
  pause()
  clearInterval(drawing)
  drawEnded()
})
resume()

function showClaims (claims) {
  id('claims').replaceChildren(...Object.entries(claims).map(([name, value]) => {
    const row = element('div', '')
    row.append(element('dt', name), element('dd', typeof value === 'string' ? value : JSON.stringify(value)))
    return row
  }))
}

function tell (text) {
  id('call-result').textContent = text
  id('call-result').hidden = text === ''
}
