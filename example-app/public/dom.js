/* global document */
export const id = (name) => document.getElementById(name)

/** A new element with a text in it. */
export function element (name, text, className) {
  const made = document.createElement(name)
  made.textContent = text // never innerHTML: orders and names are untrusted
  if (className) made.className = className
  return made
}
