import { SignJWT } from 'jose'
import { randomToken } from '../util/random.ts'
import { algorithmAt, type ClientKey } from './client-keys.ts'
import type { AuthorizationServerMetadata } from './discovery.ts'

/** Seconds that a request object is valid: the browser takes it to the provider at once, or the app itself does. */
const LIFE = 300
/** Parameters that are JSON in a query, and values of their own in a JWT (RFC 9101, section 4; RFC 9396, section 2). */
const JSON_PARAMETERS = ['claims', 'authorization_details']

/** What a request object is signed with. */
interface RequestObjectContext {
  clientId: string
  clientKey: ClientKey
  server: AuthorizationServerMetadata
  /** Epoch seconds. */
  now: number
}

/**
 * Signs an authorization request (RFC 9101, section 4).
 * @param params all of its parameters
 * @returns the request object, a JWT
 */
export async function signRequestObject (
  params: URLSearchParams,
  { clientId, clientKey, server, now }: RequestObjectContext
): Promise<string> {
  const { key, header } = clientKey
  const alg = algorithmAt(clientKey, server.request_object_signing_alg_values_supported)
  const issuedAt = Math.floor(now)
  return await new SignJWT({ ...claimsOf(params), jti: randomToken() })
    .setProtectedHeader({ ...header, alg, typ: 'oauth-authz-req+jwt' })
    .setIssuer(clientId)
    .setAudience(server.issuer)
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(issuedAt + LIFE)
    .sign(key)
}

/** What a request object must not have of the app's own: the claims above, and other requests (section 4). */
const RESERVED = ['request', 'request_uri', 'iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']

function claimsOf (params: URLSearchParams): Record<string, unknown> {
  const claims: [string, unknown][] = []
  for (const name of new Set(params.keys())) {
    if (RESERVED.includes(name)) continue
    const values = params.getAll(name)
    claims.push([name, values.length > 1 ? values : claimOf(name, values[0]!)])
  }
  return Object.fromEntries(claims)
}

function claimOf (name: string, value: string): unknown {
  if (name === 'max_age' && /^\d{1,15}$/.test(value)) return Number(value)
  if (!JSON_PARAMETERS.includes(name)) return value
  try {
    return JSON.parse(value)
  } catch {
    return value // the provider says what is wrong with it
  }
}
