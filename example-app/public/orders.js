/* global document, Event, FormData */
import { call } from './call.js'
import { announce, closeOnEscape, onClick } from './controls.js'
import { element, id } from './dom.js'

const next = {
  ordered: ['baking', 'Start baking'],
  baking: ['ready', 'Out of the oven'],
  ready: ['collected', 'Hand over'],
}

/** Shows the API's response: the orders, and the user and token that the API has seen. */
export function showOrders ({ orders, seen }) {
  const focused = placeOf(document.activeElement)
  for (const column of document.querySelectorAll('.column')) {
    const mine = orders.filter(({ status }) => status === column.dataset.status)
    const list = column.querySelector('ul')
    const had = new Map([...list.children].map((item) => [item.dataset.key, item]))
    column.querySelector('.count').textContent = mine.length
    list.replaceChildren(...mine.map((order) => had.get(keyOf(order)) ?? card(order)))
  }
  lastSeen = seen
  id('seen').textContent = `The API responded to ${seen.user}, token ${seen.token}.`
  if (focused && document.activeElement === document.body) focusAgain(focused)
}

let lastSeen

/** Where the keyboard focus is among the orders: undefined where it is elsewhere. */
function placeOf (button) {
  const item = button?.closest('.order')
  if (!item) return undefined
  const row = [...item.parentElement.children].indexOf(item)
  return { button, column: item.closest('.column'), row }
}

/** The focus stays on its order. Where that is gone, it goes to the one that has its place, or to the column's name. */
function focusAgain ({ button, column, row }) {
  const order = document.querySelector(`[data-order="${button.dataset.order}"]`)
  const left = [...column.querySelectorAll('.order')]
  const neighbour = left[Math.min(row, left.length - 1)]?.querySelector('button')
  const next = button.isConnected ? button : order ?? neighbour ?? column.querySelector('h2')
  next.focus()
}

/** Says that the last call was made with the token before the new one. */
export function tokenReplaced (previous) {
  if (lastSeen?.token !== previous) return
  const { user, token } = lastSeen
  id('seen').textContent = `The API responded to ${user}, token ${token}, replaced since.`
}

function keyOf (order) {
  return `${order.id} ${order.status} ${order.changedBy}`
}

function card (order) {
  const item = element('li', '', 'order')
  item.dataset.key = keyOf(order)
  const [status, label] = next[order.status]
  const button = element('button', label, 'button small')
  button.type = 'button'
  button.dataset.order = order.id
  button.setAttribute('aria-label', `${label}: ${nameOf(order)}`)
  onClick(button, async () => {
    const { ok } = await call('PATCH', `orders/${order.id}`, { status })
    if (!ok) return
    announce(`${nameOf(order)} is ${status}`)
    button.dispatchEvent(new Event('board-changed', { bubbles: true }))
  })
  const buttons = element('div', '', 'buttons')
  buttons.append(button)
  if (order.status === 'ordered') buttons.append(cancelButton(order))
  item.append(
    element('p', `${order.quantity} × ${order.item}`, 'what'),
    element('p', order.customer, 'whom'),
    element('p', `no. ${order.id}, by ${order.changedBy}`, 'quiet small'),
    buttons
  )
  return item
}

/** The API asks for a recent login before it lets an order be cancelled: `call` sees to that. */
function cancelButton (order) {
  const button = element('button', 'Cancel', 'button small plain')
  button.type = 'button'
  button.dataset.order = order.id
  button.setAttribute('aria-label', `Cancel: ${nameOf(order)}`)
  onClick(button, async () => {
    const { ok } = await call('DELETE', `orders/${order.id}`)
    announce(`${nameOf(order)} ${ok ? 'is cancelled' : 'was not cancelled'}`)
    if (ok) id('board').dispatchEvent(new Event('board-changed'))
    button.dispatchEvent(new Event('login-changed', { bubbles: true }))
  })
  return button
}

function nameOf ({ quantity, item, customer }) {
  return `${quantity} ${item} for ${customer}`
}

/** Calls `placed` after each new order. */
export function takeOrders (placed) {
  const form = id('new-order')
  if (form === null) return
  closeOnEscape(form.closest('details'))
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const { item, quantity, customer } = Object.fromEntries(new FormData(form))
    const order = { item, quantity: Number(quantity), customer }
    const { ok } = await call('POST', 'orders', order)
    if (!ok) return
    announce(`${nameOf(order)} is ordered`)
    form.reset()
    placed()
  })
}
