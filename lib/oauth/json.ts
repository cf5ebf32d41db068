/** Levels that a response of a provider may have; no token response, profile or key set has nearly as many. */
const MAX_DEPTH = 64
/** Digits of the longest integer that is kept: a subject has 255 at most (OpenID Connect Core, section 2). */
const MAX_DIGITS = 255

// Strings are matched whole, so that nothing in them is taken for a bracket or a number.
const TOKEN = /"[^"\\]*(?:\\[^][^"\\]*)*"|[[{\]}]|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** A number of many digits, or with an exponent, or what in a string looks like one. */
const LONG_NUMBER = /(?:^|[:[,])\s*-?\d(?:[\d.]{14}|[\d.]*[eE])/
/** Characters of a text whose strings are longer than what is between them, as tokens are. */
const LONG_TEXT = 1000

/** Whether `JSON.parse` alone reads a text as `parseJson` does, as it is with nearly every response. */
export function isPlainJson (text: string): boolean {
  return !hasLongNumber(text) && countOf('{', text) + countOf('[', text) <= MAX_DEPTH
}

/** Whether a number may be long. The strings of a token response are passed by, which takes a fifth of the time. */
function hasLongNumber (text: string): boolean {
  // Behind a backslash, a quotation mark does not end a string.
  if (text.length < LONG_TEXT || text.includes('\\')) return LONG_NUMBER.test(text)
  // The parts at even places are outside of strings.
  return text.split('"').some((part, at) => at % 2 === 0 && part.length > 1 && LONG_NUMBER.test(part))
}

/** How often a character is in a text; counted no further than one level too many. */
function countOf (character: string, text: string): number {
  let count = 0
  for (let at = text.indexOf(character); at >= 0 && count <= MAX_DEPTH; at = text.indexOf(character, at + 1)) count++
  return count
}

/**
 * Parses JSON that a provider sent. An integer that a JavaScript number cannot hold becomes a string of its digits:
 * `JSON.parse` rounds beyond 2^53, and two users whose ids differ in the last digit would be one (RFC 8259, section 6).
 * @throws SyntaxError also for JSON that is nested deeper than 64 levels, which nothing could store again
 */
export function parseJson (text: string): unknown {
  if (isPlainJson(text)) return JSON.parse(text)
  let depth = 0
  const exact = text.replace(TOKEN, (token) => {
    switch (token[0]) {
      case '"': return token
      case '[': case '{':
        if (++depth > MAX_DEPTH) throw new SyntaxError(`JSON of more than ${MAX_DEPTH} levels`)
        return token
      case ']': case '}':
        depth--
        return token
      default: return exactNumber(token)
    }
  })
  return JSON.parse(exact)
}

// An exact number, or one that is not an integer, stays a number. A fraction that would be rounded to an integer
// becomes text too, since it could pass for an id.
function exactNumber (literal: string): string {
  const number = Number(literal)
  if (literal.length < 16 && !/[eE]/.test(literal)) return literal
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal)!
  const [, sign = '', whole = '', fraction = '', power = '0'] = parts
  const shift = Number(power) - fraction.length
  if (Math.abs(shift) > MAX_DIGITS) return literal
  const all = (whole + fraction + '0'.repeat(Math.max(0, shift)))
  const digits = shift < 0 ? all.slice(0, shift) : all
  const isInteger = shift >= 0 || /^0*$/.test(all.slice(shift))
  if (!isInteger) return Number.isInteger(number) ? `"${literal}"` : literal
  const isHeld = Math.abs(number) <= Number.MAX_SAFE_INTEGER || digits.length > MAX_DIGITS
  return isHeld ? literal : `"${sign}${digits.replace(/^0+(?=\d)/, '')}"`
}

/**
 * An identifier as text: providers write it as a string or as a number. Undefined for anything else, and for a number
 * that has been rounded.
 */
export function identifierText (value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value)
  return undefined
}
