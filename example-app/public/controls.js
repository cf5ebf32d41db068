/* global document */
// What makes the board's controls usable without a mouse and without seeing them.
import { id } from './dom.js'

const longest = 10

/** Has screen readers say what has happened. */
export function announce (text) {
  const said = id('announcer')
  const line = document.createElement('p')
  line.textContent = text
  said.append(line)
  while (said.children.length > longest) said.firstElementChild.remove()
}

/** Runs `work` at each click, one at a time. The button keeps the keyboard focus, which `disabled` would take away. */
export function onClick (button, work) {
  button.addEventListener('click', async () => {
    if (button.ariaDisabled === 'true') return
    button.ariaDisabled = 'true'
    try {
      await work()
    } finally {
      button.ariaDisabled = null
    }
  })
}

/** Escape closes what a `<details>` has opened, from anywhere inside. */
export function closeOnEscape (details) {
  details.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !details.open) return
    details.open = false
    details.querySelector('summary').focus()
  })
}
