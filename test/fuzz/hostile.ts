/** What an attacker, or a server out of its mind, sends: as arbitraries of fast-check. */
import fc from 'fast-check'

export const MARKUP = '"><svg/onload=alert(1)>'
export const EVIL = 'https://evil.example/'

const TEXTS = [
  '', ' ', '0', 'null', 'true', '\u0000', '\r\nset-cookie: a=b', '\u2028', '\ufeff', '\ud800', '%', '%00', '%2f%2f',
  '../..', '__proto__', 'constructor', 'toString', 'Bearer', 'none', 'HS256', 'RS256', 'openid', MARKUP,
  EVIL, '//evil.example',
  'javascript:alert(1)', 'http://127.0.0.1:1/', 'a'.repeat(5000)
]

/** A text: one that is known to be trouble, any other, or one in bytes that are no UTF-8 once they are decoded. */
export const text = fc.oneof(
  fc.constantFrom(...TEXTS),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme-ascii', maxLength: 40 })
)

/** A value that JSON can hold. */
export const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: text },
  { weight: 2, arbitrary: fc.constantFrom(null, true, false, 0, -0, -1, 1, 1e308, 2 ** 53, 2 ** 31, -(2 ** 31), 0.5) },
  { weight: 2, arbitrary: fc.constantFrom([], {}, [null], [[]], { toString: 1 }, JSON.parse('{"__proto__":{"a":1}}')) },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) }
)

/** What is done to one place of a value. */
export interface Change {
  /** Which place, counted modulo the number of places. */
  at: number
  kind: 'set' | 'delete' | 'add'
  name: string
  value: unknown
}

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat({ max: 200 }),
  kind: fc.constantFrom('set' as const, 'set' as const, 'delete' as const, 'add' as const),
  name: text,
  value
})

export const changes = fc.array(change, { minLength: 1, maxLength: 4 })

/** A copy of a value that JSON can hold, with the changes made to it. */
export function changed (original: unknown, list: readonly Change[]): unknown {
  const box: Holder = { value: JSON.parse(JSON.stringify(original)) as unknown }
  for (const { at, kind, name, value: given } of list) {
    // A copy: a value that two changes put in, one into the other, must not become a circle.
    const value = JSON.parse(JSON.stringify(given)) as unknown
    const places = placesIn(box)
    const [holder, key] = places[at % Math.max(places.length, 1)] ?? [box, 'value']
    if (kind === 'delete') delete holder[key]
    else if (kind === 'set') holder[key] = value
    else define(isHolder(holder[key]) ? holder[key] : holder, name, value)
  }
  return box.value ?? null
}

type Holder = Record<string, unknown>

export const isHolder = (value: unknown): value is Holder => typeof value === 'object' && value !== null

function placesIn (holder: Holder): Array<[Holder, string]> {
  return Object.keys(holder).flatMap((key) => {
    const inner = holder[key]
    return [[holder, key] as [Holder, string], ...isHolder(inner) ? placesIn(inner) : []]
  })
}

// As JSON.parse does it: `__proto__` is a member like any other.
function define (holder: Holder, name: string, value: unknown): void {
  Object.defineProperty(holder, name, { value, enumerable: true, writable: true, configurable: true })
}

/** What is done to a text, a JWT for example. */
export interface TextChange {
  at: number
  remove: number
  insert: string
}

export const textChanges = fc.array(
  fc.record({ at: fc.nat({ max: 2000 }), remove: fc.nat({ max: 50 }), insert: text }), { maxLength: 3 })

export function changedText (original: string, list: readonly TextChange[]): string {
  return list.reduce((so, { at, remove, insert }) => {
    const from = at % (so.length + 1)
    return so.slice(0, from) + insert + so.slice(from + remove)
  }, original)
}

/** A response of an endpoint that is nothing like what was asked for. */
export const reply = fc.record({
  status: fc.constantFrom(200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503),
  headers: fc.constantFrom<Record<string, string>>(
    {},
    { 'content-type': 'application/json' },
    { 'content-type': 'text/html' },
    { 'content-type': 'application/jwt' },
    { 'content-encoding': 'gzip' },
    { 'content-encoding': 'br, br' },
    { location: EVIL },
    { 'www-authenticate': `Bearer error="invalid_token", error_description=${MARKUP}` },
    { 'retry-after': '99999999999' },
    { 'dpop-nonce': 'a' }
  ),
  body: fc.oneof(
    text,
    value.map(json => JSON.stringify(json)),
    fc.tuple(value.map(json => JSON.stringify(json)), fc.nat({ max: 40 })).map(([json, at]) => json.slice(0, at)),
    fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.from(bytes)),
    fc.constantFrom('['.repeat(20_000), '{"a":1,"a":2}', '{"error":"invalid_grant"}', '<html>', '1e999')
  )
})
