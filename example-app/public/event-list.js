/* global EventSource */
// The live list of events. A tab in the background closes its connection, since a browser has only six for one server;
// when it is back, the server sends what it has missed.
import { element, id as byId } from './dom.js'

const list = byId('log')
const longest = 60
let source
let lastId = 0
const logins = new Set()

/** Sets this browser's login: events of other logins of the same user are marked. A step-up brings another one. */
export function setLogin (mine) {
  logins.add(mine)
  for (const item of list.children) if (item.dataset.login === mine) item.querySelector('.elsewhere')?.remove()
}

/** Listens while the tab is visible. `onEvent` gets each new event; `onRefused` is called where the server refuses. */
export function listen ({ onEvent, onRefused }) {
  source?.close()
  source = new EventSource('/api/events')
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data)
    if (event.id <= lastId) return
    lastId = event.id
    show(event)
    onEvent(event)
  }
  source.onerror = ({ target }) => {
    if (target === source && target.readyState === EventSource.CLOSED) onRefused()
  }
}

export function stopListening () {
  source?.close()
  source = undefined
}

function show ({ id, kind, text, token, login: whose }) {
  const newest = list.firstElementChild
  const elsewhere = logins.size > 0 && whose !== undefined && !logins.has(whose)
  // "GET orders: 200 in 12 ms", again and again: one line with a count, until another event follows.
  const group = kind === 'call' ? `${elsewhere} ${text.replace(/ in \d+ ms$/, '')}` : undefined
  if (group && newest?.dataset.group === group) {
    newest.dataset.times = Number(newest.dataset.times) + 1
    newest.querySelector('time').textContent = clock(id)
    newest.querySelector('.text').textContent = text
    newest.querySelector('.times').textContent = `× ${newest.dataset.times}`
    return
  }
  const item = element('li', '')
  item.dataset.kind = kind
  item.dataset.times = 1
  item.dataset.login = whose
  if (group) item.dataset.group = group
  const when = element('time', clock(id))
  when.dateTime = new Date(id).toISOString()
  item.append(when, element('span', kind, 'tag'), element('span', text, 'text'), element('span', '', 'times'))
  if (elsewhere) item.append(element('span', 'in another browser, or before this login', 'elsewhere quiet small'))
  if (token) item.append(element('span', describe(token), 'detail'))
  list.prepend(item)
  while (list.children.length > longest) list.lastElementChild.remove()
}

function describe ({ fingerprint, previous, lifetime, rotated }) {
  const change = previous ? `${previous} → ${fingerprint}` : fingerprint
  const life = lifetime ? `, expires in ${lifetime} s` : ''
  return change + life + (rotated === undefined ? '' : rotated ? ', refresh token rotated' : ', refresh token kept')
}

function clock (milliseconds) {
  return new Date(milliseconds).toLocaleTimeString([], { hour12: false })
}
