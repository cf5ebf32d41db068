// The HTML templates in `public/`: `{{name}}` is replaced by the value of that name, escaped.
import { existsSync, readFileSync } from 'node:fs'

/** HTML that has been escaped already and goes into a template as it is. */
export class Html {
  readonly markup: string
  constructor (markup: string) { this.markup = markup }
}

/** Values by the name that a template has for them. */
export type Values = Readonly<Record<string, unknown>>

// Compiled, this file is in `dist/`; otherwise it is beside `public/`.
const beside = new URL('./public/', import.meta.url)
export const publicDirectory = existsSync(beside) ? beside : new URL('../public/', import.meta.url)

const templates = new Map<string, string>()

/** Fills in the template `public/<name>`. A missing value is an error. */
export function render (name: string, values: Values = {}): Html {
  let template = templates.get(name)
  if (template === undefined) {
    template = readFileSync(new URL(name, publicDirectory), 'utf8')
    templates.set(name, template)
  }
  return new Html(template.replace(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = Object.hasOwn(values, key) ? values[key] : undefined
    if (value instanceof Html) return value.markup
    if (typeof value === 'string') return escapeHtml(value)
    throw new Error(`${name} needs a text for ${key}`)
  }))
}

/** One rendering of the template for each of the rows. */
export function renderEach (name: string, rows: readonly object[]): Html {
  return new Html(rows.map((row) => render(name, row as Values).markup).join(''))
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export function escapeHtml (text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!)
}
