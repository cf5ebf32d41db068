import { createHash, createHmac, verify, type KeyObject } from 'node:crypto'
import { NotUnderstood, type Members } from './case.ts'
import { difference, hasAll, show } from './matches.ts'
import { fieldsOf, type WireRequest } from './wire.ts'

/** What is known of a case beside the one request that is looked at. */
export interface WireContext {
  publicClientId?: string | undefined
  clientSecret?: string | undefined
  publicKey?: () => KeyObject
  codeChallenge?: CodeChallenge | undefined
}

/** What a login that was begun said about its verifier (RFC 7636, section 4.3). */
export interface CodeChallenge {
  value: string
  method: string
}

type Check = (request: WireRequest, expected: any, context: WireContext) => string | undefined

const formOf = ({ body }: WireRequest) => fieldsOf(new URLSearchParams(body))
const queryOf = ({ url }: WireRequest) => fieldsOf(new URL(url).searchParams)

/** Members of `expect.wire[n]` → what they mean. */
const CHECKS: Record<string, Check> = {
  method: ({ method }, expected) => difference('method', method, expected),
  url: ({ url }, expected) => difference('url', url, expected),
  headers: ({ headers }, expected: Members) =>
    firstOf(Object.entries(expected), ([name, value]) =>
      difference(`header ${name}`, mediaType(name, headers[name.toLowerCase()]), value)
    ),
  headers_lack: ({ headers }, names: string[]) =>
    firstOf(names, name => (headers[name.toLowerCase()] === undefined ? undefined : `there is a header ${name}`)),
  form: (request, expected, context) => difference('form', formOf(request), expected, exactly(context)),
  form_has: (request, expected) => difference('form', formOf(request), asFields(expected), hasAll),
  form_lacks: (request, names) => lacks('form', formOf(request), names),
  query: (request, expected, context) => difference('query', queryOf(request), expected, exactly(context)),
  query_has: (request, expected) => difference('query', queryOf(request), asFields(expected), hasAll),
  query_lacks: (request, names) => lacks('query', queryOf(request), names),
  query_pairs: ({ url }, expected) => pairs('query_pairs', new URL(url).searchParams, expected),
  form_pairs: ({ body }, expected) => pairs('form_pairs', new URLSearchParams(body), expected),
  no_body: ({ body }, expected) => difference('no_body', body === '', expected),
  // Where only the meaning of JSON counts, its text may differ.
  raw_body: ({ body }, expected, context) =>
    difference('body', body, expected, 'json' in context ? sameJson : undefined),
  raw_body_contains: ({ body }, expected) =>
    body.includes(expected) ? undefined : `body is ${show(body)}, without ${expected}`,
  raw_body_lacks: ({ body }, unwanted) =>
    body.includes(unwanted) ? `body is ${show(body)}, with ${unwanted}` : undefined,
  json_equivalent: () => undefined,
  form_verifier_hashes_to_challenge: (request, expected, { codeChallenge }) =>
    difference('form_verifier_hashes_to_challenge', answers(formOf(request).code_verifier, codeChallenge), expected),
  assertion: (request, expected, context) =>
    checkAssertion(String(formOf(request).client_assertion ?? formOf(request).assertion ?? ''), expected, context)
}

/** Whether a member of `expect` speaks of a request. */
export const isWireExpectation = (key: string) => Object.hasOwn(CHECKS, key)

/** What is wrong with one request. */
export function checkRequest (request: WireRequest, expected: Members, context: WireContext): string[] {
  const unknown = Object.keys(expected).find(key => !isWireExpectation(key))
  if (unknown !== undefined) throw new NotUnderstood(`expect.wire.${unknown}`)
  const known = expected.json_equivalent === true ? { ...context, json: true } : context
  return Object.entries(expected).flatMap(([key, value]) => CHECKS[key]!(request, value, known) ?? [])
}

/** Every pair of some names, in order. */
export function pairs (what: string, params: URLSearchParams, expected: [string, string][]): string | undefined {
  const names = expected.map(([name]) => name)
  return difference(what, [...params].filter(([name]) => names.includes(name)), expected)
}

function firstOf<T> (items: readonly T[], problemOf: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const problem = problemOf(item)
    if (problem !== undefined) return problem
  }
  return undefined
}

// A charset beside the media type changes nothing.
const mediaType = (name: string, value: string | undefined) =>
  name.toLowerCase() === 'content-type' ? value?.replace(/;.*$/, '') : value

const asFields = (expected: Members): Members =>
  Object.fromEntries(
    Object.entries(expected).map(([name, value]) => [name, Array.isArray(value) ? value.map(String) : String(value)])
  )

/**
 * A client without a secret names itself in every form (RFC 6749, sections 3.2.1 and 4.1.3); the reference does so in
 * none unless told, and its exact forms leave that out.
 */
const exactly = ({ publicClientId }: WireContext) => (actual: Members, expected: Members) => {
  const { client_id: id, ...rest } = actual
  const compared = expected.client_id === undefined && id !== undefined && id === publicClientId ? rest : actual
  return hasAll(compared, asFields(expected)) && hasAll(asFields(expected), compared)
}

function lacks (what: string, fields: Members, names: string[]): string | undefined {
  return firstOf(names, name => fields[name] === undefined ? undefined : `${what} has ${name}`)
}

function sameJson (actual: string, expected: string): boolean {
  try {
    const [a, b] = [JSON.parse(actual), JSON.parse(expected)]
    return hasAll(a, b) && hasAll(b, a)
  } catch {
    return false
  }
}

function answers (verifier: unknown, challenge: CodeChallenge | undefined): boolean {
  if (typeof verifier !== 'string' || challenge === undefined) return false
  return (
    challenge.value ===
    (challenge.method === 'plain' ? verifier : createHash('sha256').update(verifier).digest('base64url'))
  )
}

/** A signed assertion: header and claims, and a signature that is worth something. */
function checkAssertion (
  assertion: string,
  expected: Members,
  { clientSecret, publicKey }: WireContext
): string | undefined {
  const [header = '', claims = '', signature = ''] = assertion.split('.')
  if (signature === '') return 'the form has no signed assertion'
  const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Members
  const problem = difference('assertion', { ...decode(header), ...decode(claims) }, expected, hasAll)
  if (problem !== undefined) return problem
  const { alg } = decode(header)
  const input = Buffer.from(`${header}.${claims}`)
  const isSigned = String(alg).startsWith('HS')
    ? createHmac(`sha${String(alg).slice(2)}`, clientSecret ?? '')
      .update(input)
      .digest('base64url') === signature
    : publicKey !== undefined &&
      verify(
        alg.startsWith('Ed') ? null : `sha${alg.slice(2)}`,
        input,
        { key: publicKey(), dsaEncoding: 'ieee-p1363' },
        Buffer.from(signature, 'base64url')
      )
  return isSigned ? undefined : 'the assertion is not signed with the key'
}
