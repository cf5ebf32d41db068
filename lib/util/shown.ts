/** Characters of a text that a message repeats. */
const SHOWN = 80

/**
 * A value of unknown origin in a message: short, on one line, and never an error of its own. What is in an object or a
 * list stays out of it.
 */
export function shown (value: unknown): string {
  switch (typeof value) {
    case 'string': return JSON.stringify(value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value)
    case 'function': return 'a function'
    case 'symbol': return 'a symbol'
    case 'bigint': return 'a bigint'
    case 'object': return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object'
    default: return String(value)
  }
}
