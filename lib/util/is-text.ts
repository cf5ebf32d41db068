/** Whether a value of unknown origin is a string with at least one character. */
export function isNonEmptyText (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** Whether a value of unknown origin is a list of strings. */
export function isTextList (value: unknown): value is string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}
