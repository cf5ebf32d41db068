/** A signed JWT and an encrypted one (RFC 7515, section 3.1; RFC 7516, section 3.1), told apart by looking. */
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]*$/
const COMPACT_JWE = /^[\w-]+(?:\.[\w-]*){4}$/

/** Whether a text has the form of a signed JWT. */
export function isCompactJws (text: string): boolean {
  return COMPACT_JWS.test(text)
}

/** Whether a text has the form of an encrypted JWT. */
export function isCompactJwe (text: string): boolean {
  // Most are signed ones: the parts are counted before each character is looked at.
  return text.split('.', 6).length === 5 && COMPACT_JWE.test(text)
}
