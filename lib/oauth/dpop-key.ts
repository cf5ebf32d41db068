import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import { isObject } from '../util/is-object.ts'

/** The private key that a login's tokens are bound to (RFC 9449), as a JWK of the curve P-256. A secret. */
export interface DpopKey {
  /** Always `EC`. */
  kty: 'EC'
  /** Always `P-256`. */
  crv: 'P-256'
  /** The x coordinate, base64url. */
  x: string
  /** The y coordinate, base64url. */
  y: string
  /** The private part, base64url. */
  d: string
}

const generateKeyPairAsync = promisify(generateKeyPair)

/** 32 bytes in base64url. */
const COORDINATE = /^[\w-]{43}$/

/** Whether a value, of a store or of the app, is such a key. */
export function isDpopKey (value: unknown): value is DpopKey {
  if (!isObject(value)) return false
  const { kty, crv, x, y, d } = value
  return kty === 'EC' && crv === 'P-256' && [x, y, d].every(part => typeof part === 'string' && COORDINATE.test(part))
}

/** The members of a key that the app gave, and no others. */
export function copyDpopKey ({ kty, crv, x, y, d }: DpopKey): DpopKey {
  return { kty, crv, x, y, d }
}

/**
 * Makes a key that tokens can be bound to: for tokens that no login and no session asks for, such as those of
 * `exchange()`, with `dpop: true`.
 * @returns the private key, to be kept as secret as the tokens
 */
export async function createDpopKey (): Promise<DpopKey> {
  const { privateKey } = await generateKeyPairAsync('ec', { namedCurve: 'P-256' })
  const { x, y, d } = privateKey.export({ format: 'jwk' })
  return { kty: 'EC', crv: 'P-256', x: x!, y: y!, d: d! }
}
