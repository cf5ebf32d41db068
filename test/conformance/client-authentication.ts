import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { ProviderOptions } from '../../lib/index.ts'
import { NotUnderstood, type Members } from './case.ts'

type Authenticate = Extract<ProviderOptions['clientAuthentication'], Function>

/** The members of `given` that say how the app proves itself. */
export const CLIENT_KEYS = [
  'client_secret', 'include_client_id', 'auth', 'tls_client_certificate', 'client_auth', 'private_key'
]

let made: KeyObject | undefined

/** The private key of a case; of every case that wants one made, the same: looking for an RSA key takes a while. */
export function signingKey ({ private_key: key }: Members): KeyObject {
  if (isSentence(key)) {
    made ??= generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    return made
  }
  return createPrivateKey(typeof key === 'string' ? key : { key, format: 'jwk' })
}

/**
 * How the app proves itself. As in the reference, a secret goes into HTTP Basic unless `include_client_id` asks for the
 * form.
 * @param given a case's `given`, with the credentials of its `when` over it
 */
export function clientAuthentication (given: Members): Partial<ProviderOptions> {
  const {
    client_id: id = 'cid', client_secret: secret, include_client_id: inForm, auth, client_auth: method,
    provider, discovery
  } = given
  const clientSecret = secret === null || secret === '' ? undefined : secret
  if (Array.isArray(auth)) {
    return {
      clientSecret,
      clientAuthentication: both(basic(auth[0], auth[1]), inForm === true ? form(id, clientSecret) : undefined)
    }
  }
  if (given.tls_client_certificate === true) return { clientAuthentication: 'tls_client_auth' }
  if (method !== undefined && method !== null) return { clientSecret, ...named(method, given) }
  // An empty secret is none to us; where a server wants one sent all the same, the app writes the authentication
  // itself.
  if (secret === '' || (clientSecret === undefined && inForm === false)) {
    return { clientAuthentication: inForm === true ? form(id, '') : basic(id, '') }
  }
  if (clientSecret === undefined) return {}
  // A preset, and a provider that says so, knows what it wants.
  if (inForm === undefined && (provider ?? discovery?.token_endpoint_auth_methods_supported) !== undefined) {
    return { clientSecret }
  }
  return { clientSecret, clientAuthentication: inForm === true ? 'client_secret_post' : 'client_secret_basic' }
}

function named (
  method: string,
  { private_key: privateKey, client_id: id = 'cid', client_secret: secret = '' }: Members
): Partial<ProviderOptions> {
  if (method === 'auto') return {}
  if (method === 'private_key_jwt') {
    return {
      clientAuthentication: method,
      clientKeys: isSentence(privateKey)
        ? (signingKey({}).export({ type: 'pkcs8', format: 'pem' }) as string)
        : privateKey
    }
  }
  if (isSentence(method)) return { clientAuthentication: described(method, { client_id: id, client_secret: secret }) }
  return { clientAuthentication: method as ProviderOptions['clientAuthentication'] }
}

// What a case describes in place of writing it: `(generate an RSA key)`.
const isSentence = (text: unknown) => text === undefined || (typeof text === 'string' && text.startsWith('('))

/** `(function adding client_id and client_secret to the URL query)` as a function. */
function described (sentence: string, values: Record<string, string>): Authenticate {
  const [, names = '', place = ''] = /^\(function adding ([\w ,]+) to the ([\w ]+)\)$/.exec(sentence) ?? []
  const fields = names.split(/,| and /).map(name => name.trim())
  if (names === '' || fields.some(name => values[name] === undefined)) {
    throw new NotUnderstood(`given.client_auth "${sentence}"`)
  }
  return ({ url, body, headers }) => {
    for (const name of fields) {
      if (place.endsWith('query')) url.searchParams.set(name, values[name]!)
      else if (/body|form/.test(place)) body.set(name, values[name]!)
      else headers.set(name, values[name]!)
    }
  }
}

function basic (user: string, password: string): Authenticate {
  return ({ headers }) => {
    headers.set('authorization', `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`)
  }
}

function form (id: string, secret: string | undefined): Authenticate {
  return ({ body }) => {
    body.set('client_id', id)
    if (secret !== undefined) body.set('client_secret', secret)
  }
}

const both = (first: Authenticate, second: Authenticate = () => {}): Authenticate => async (request) => {
  await first(request)
  await second(request)
}
