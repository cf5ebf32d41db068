import { Readable } from 'node:stream'
import { types } from 'node:util'
import type { Dispatcher } from 'undici'
import { InvalidOptionsError } from '../errors.ts'
import { shown } from '../util/shown.ts'

/** Everything a call may send. */
export type CallBody =
  | string
  | Buffer
  | Uint8Array
  | ArrayBuffer
  | URLSearchParams
  | FormData
  | Blob
  | NodeJS.ReadableStream
  | ReadableStream
  | Iterable<Uint8Array>
  | AsyncIterable<Uint8Array>
  | object
  | null

/** A body as undici takes it. */
export interface PreparedBody {
  body: Dispatcher.DispatchOptions['body'] | undefined
  contentType?: string | undefined
  /** Whether it can be sent again after a 401. A stream cannot: it would be empty. */
  replayable: boolean
}

const NONE: PreparedBody = { body: undefined, replayable: true }

/**
 * Turns a call's `body` or `json` into what undici's dispatch takes: undici itself reads URLSearchParams as a list of
 * pairs and refuses Node's own FormData.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function prepareBody (body: CallBody | undefined, json: unknown): PreparedBody | Promise<PreparedBody> {
  if (json !== undefined) return { body: jsonOf(json, body), contentType: 'application/json', replayable: true }
  if (body === undefined || body === null) return NONE
  if (typeof body === 'string') return { body, replayable: true }
  if (body instanceof URLSearchParams) {
    return { body: body.toString(), contentType: 'application/x-www-form-urlencoded', replayable: true }
  }
  if (body instanceof Uint8Array) return { body, replayable: true }
  if (body instanceof ArrayBuffer) return { body: Buffer.from(body), replayable: true }
  if (ArrayBuffer.isView(body)) {
    return { body: Buffer.from(body.buffer, body.byteOffset, body.byteLength), replayable: true }
  }
  if (typeof body !== 'object') throw notABody(typeof body)
  if (isFormData(body) || body instanceof Blob) return encode(body)
  if (isPlain(body)) throw notABody(Array.isArray(body) ? 'list' : 'plain object')
  assertUnread(body)
  // It may fail before it is read, while the token is: an error event without a listener ends the process.
  if (body instanceof Readable) body.on('error', () => {})
  const source = isIterable(body) ? Readable.from(chunksOf(body), { highWaterMark: 1 }) : body
  return { body: source as Dispatcher.DispatchOptions['body'], replayable: false }
}

/**
 * Refuses a stream of which nothing, or only a part, would be sent, because Fastify has parsed it, for example.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function assertUnread (body: unknown): void {
  // A stream that has failed is let through: its own error is thrown when it is sent.
  const isRead = body instanceof Readable
    ? body.readableEnded || (body.destroyed && body.errored === null)
    : body instanceof ReadableStream && (body.locked || Readable.isDisturbed(body as unknown as Readable))
  if (isRead) throw readAlready()
}

const readAlready = () => new InvalidOptionsError(
  'the `body` of a call is a stream or a generator that has been read, or that another call reads; pass one that has ' +
    'not been, or what was read from it'
)

function isIterable (body: object): body is AsyncIterable<unknown> {
  return Symbol.asyncIterator in body || Symbol.iterator in body
}

const errorsOfBodies = new WeakSet<object>()

/** Generators that a call has begun to read. None begins anew; whether one has ended cannot be seen otherwise. */
const begun = new WeakSet<object>()

// undici destroys the stream that it sends with the error of the connection: by the stream alone, nobody could tell
// which of the two failed. Nothing is begun, or locked, before it is read.
async function * chunksOf (body: AsyncIterable<unknown>): AsyncGenerator<string | ArrayBufferView> {
  try {
    if (types.isGeneratorObject(body)) {
      if (begun.has(body)) throw readAlready()
      begun.add(body)
    }
    for await (const chunk of body) {
      if (typeof chunk !== 'string' && !ArrayBuffer.isView(chunk)) throw notChunks(chunk)
      yield chunk
    }
  } catch (error) {
    if (typeof error === 'object' && error !== null) errorsOfBodies.add(error)
    throw error
  }
}

/** Whether a call failed with an error of its own body. */
export function isOfBody (error: unknown): boolean {
  return typeof error === 'object' && error !== null && errorsOfBodies.has(error)
}

function notChunks (chunk: unknown) {
  return new InvalidOptionsError(
    `the \`body\` of a call has to yield bytes or strings, and yields ${shown(chunk)}; write \`json\` for a value`
  )
}

function notABody (kind: string) {
  return new InvalidOptionsError(
    `the \`body\` of a call is a ${kind}, which cannot be sent as it is; write \`json\` to send it as JSON`
  )
}

/** Whether it is a value for `json`: an object or list that no bytes can be read from. */
function isPlain (body: object): boolean {
  if (Array.isArray(body)) return !body.every(chunk => typeof chunk === 'string' || ArrayBuffer.isView(chunk))
  return !(
    Symbol.iterator in body ||
    Symbol.asyncIterator in body ||
    typeof (body as { pipe?: unknown }).pipe === 'function' ||
    body instanceof ReadableStream
  )
}

/** Closes a body that is not going to be sent: an open file, another request's body. */
export function discardBody (body: unknown): void {
  if (body instanceof Readable) body.destroy()
  else if (body instanceof ReadableStream && !body.locked) body.cancel().catch(() => {})
}

function jsonOf (json: unknown, body: CallBody | undefined): string {
  if (body !== undefined && body !== null) {
    throw new InvalidOptionsError('a call has both `json` and `body`; pass one of them')
  }
  const text = JSON.stringify(json) as string | undefined
  if (text === undefined) throw new InvalidOptionsError(`\`json\` is a ${typeof json}, which JSON cannot say`)
  return text
}

// By its name and its members: undici's class is not Node's; that of the `form-data` package, a stream, has the name
// alone.
function isFormData (body: object): body is FormData {
  const { [Symbol.toStringTag]: tag, entries } = body as { [Symbol.toStringTag]?: string, entries?: unknown }
  return tag === 'FormData' && typeof entries === 'function'
}

async function encode (body: FormData | Blob): Promise<PreparedBody> {
  const encoded = new Response(body instanceof Blob ? body : nativeFormData(body))
  return {
    body: Buffer.from(await encoded.arrayBuffer()),
    contentType: encoded.headers.get('content-type') ?? undefined,
    replayable: true
  }
}

// undici's FormData has the same entries as Node's.
function nativeFormData (body: FormData): FormData {
  if (body instanceof FormData) return body
  const native = new FormData()
  for (const [name, value] of (body as FormData).entries()) {
    if (typeof value === 'string') native.append(name, value)
    else native.append(name, value, value.name)
  }
  return native
}

export type CallHeaders =
  | Record<string, string | string[] | undefined>
  | Iterable<[string, string | string[] | undefined]>
  | string[]
  | Headers
  | null
  | undefined

// The only `authorization` is ours; another `host` would send the token to a server that has not been checked.
const OURS = ['authorization', 'host']

/**
 * Copies a call's headers, names in lower case, without those that the plugin sets.
 * @param withheld the call goes without the token: an `authorization` is the caller's own
 */
export function copyHeaders (headers: CallHeaders, withheld = false): Record<string, string | string[] | undefined> {
  const copy: Record<string, string | string[] | undefined> = {}
  if (headers === undefined || headers === null) return copy
  for (const [name, value] of pairsOf(headers)) {
    const lower = name.toLowerCase()
    if (value === undefined || (OURS.includes(lower) && !(withheld && lower === 'authorization'))) continue
    // A name that stands twice in a list of pairs is sent twice.
    copy[lower] = Object.hasOwn(copy, lower) ? [copy[lower]!, value].flat() : value
  }
  return copy
}

function pairsOf (headers: NonNullable<CallHeaders>): Iterable<[string, string | string[] | undefined]> {
  if (Array.isArray(headers) && typeof headers[0] === 'string') {
    const flat = headers as string[]
    return flat.flatMap((name, index): [string, string][] => index % 2 === 0 ? [[name, flat[index + 1] ?? '']] : [])
  }
  if (Symbol.iterator in headers) return headers as Iterable<[string, string]>
  return Object.entries(headers as Record<string, string>)
}
