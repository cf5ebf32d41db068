/* global document, Event, FormData */
import { call } from './call.js'
import { element } from './event-list.js'

const next = {
  ordered: ['baking', 'Start baking'],
  baking: ['ready', 'Out of the oven'],
  ready: ['collected', 'Hand over'],
}

/** Shows the API's response: the orders, and the user and token that the API has seen. */
export function showOrders ({ orders, seen }) {
  const focused = document.activeElement?.dataset.order ?? moved
  for (const column of document.querySelectorAll('.column')) {
    const mine = orders.filter(({ status }) => status === column.dataset.status)
    const list = column.querySelector('ul')
    const had = new Map([...list.children].map((item) => [item.dataset.key, item]))
    column.querySelector('.count').textContent = mine.length
    list.replaceChildren(...mine.map((order) => had.get(keyOf(order)) ?? card(order)))
  }
  lastSeen = seen
  document.getElementById('seen').textContent = `The API responded to ${seen.user}, token ${seen.token}.`
  // The board is redrawn after each call: the keyboard focus stays on its order.
  if (document.activeElement === document.body) document.querySelector(`[data-order="${focused}"]`)?.focus()
  moved = undefined
}

let moved
let lastSeen

/** Says that the last call was made with the token before the new one. */
export function tokenReplaced (previous) {
  if (lastSeen?.token !== previous) return
  const { user, token } = lastSeen
  document.getElementById('seen').textContent =
    `The API responded to ${user}, token ${token}, replaced since.`
}

function keyOf ({ id, status, changedBy }) {
  return `${id} ${status} ${changedBy}`
}

function card (order) {
  const item = element('li', '', 'order')
  item.dataset.key = keyOf(order)
  const [status, label] = next[order.status]
  const button = element('button', label, 'button small')
  button.type = 'button'
  button.dataset.order = order.id
  button.setAttribute('aria-label', `${label}: ${order.quantity} ${order.item} for ${order.customer}`)
  button.addEventListener('click', () => {
    moved = order.id
    button.disabled = true
    call('PATCH', `orders/${order.id}`, { status }).then(({ ok }) => {
      if (ok) button.dispatchEvent(new Event('board-changed', { bubbles: true }))
      else button.disabled = false
    })
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
function cancelButton ({ id, quantity, item, customer }) {
  const button = element('button', 'Cancel', 'button small plain')
  button.type = 'button'
  button.setAttribute('aria-label', `Cancel: ${quantity} ${item} for ${customer}`)
  button.addEventListener('click', async () => {
    button.disabled = true
    const { ok } = await call('DELETE', `orders/${id}`)
    button.disabled = false
    if (ok) document.getElementById('board').dispatchEvent(new Event('board-changed'))
    button.dispatchEvent(new Event('login-changed', { bubbles: true }))
  })
  return button
}

/** Calls `placed` after each new order. */
export function takeOrders (placed) {
  const form = document.getElementById('new-order')
  form?.addEventListener('submit', async (event) => {
    event.preventDefault()
    const { item, quantity, customer } = Object.fromEntries(new FormData(form))
    const { ok } = await call('POST', 'orders', { item, quantity: Number(quantity), customer })
    if (!ok) return
    form.reset()
    placed()
  })
}
