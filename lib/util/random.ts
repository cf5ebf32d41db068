import { hash, randomFillSync, timingSafeEqual } from 'node:crypto'

const TOKEN_BYTES = 32
const ID_BYTES = 24
// Drawn for 64 tokens at once: a draw costs ten times what the rest of a token costs.
const drawn = Buffer.alloc(64 * TOKEN_BYTES)
let used = drawn.length

/** 256 random bits as 43 characters of base64url. */
export function randomToken (): string {
  return draw(TOKEN_BYTES)
}

/** 192 random bits as 32 characters, as a session id of @fastify/session has: for what is kept for long. */
export function randomId (): string {
  return draw(ID_BYTES)
}

function draw (bytes: number): string {
  if (used === drawn.length) {
    randomFillSync(drawn)
    used = 0
  }
  const start = used
  used += TOKEN_BYTES
  return drawn.toString('base64url', start, start + bytes)
}

/** A short hash of a value that must not be shown, such as a state in a cookie's name. */
export function shortHash (value: string): string {
  return hash('sha256', value, 'base64url').slice(0, 22)
}

/** Compares two strings in constant time. */
export function safeEqual (a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
