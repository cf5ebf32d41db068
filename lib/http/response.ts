import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { InvalidOptionsError, InvalidResponseError, type OAuthError } from '../errors.ts'
import { tooLarge } from './too-large.ts'

export type ResponseData = Dispatcher.ResponseData

/** A response that was read whole and decompressed. */
export interface BufferedResponse {
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

/**
 * Reads a streamed response to its end.
 * @param limit bytes, before and after decompression
 * @throws FST_OAUTH_INVALID_RESPONSE
 */
export async function readWhole (
  { statusCode, headers, body }: ResponseData, limit: number
): Promise<BufferedResponse> {
  if (body.bodyUsed || body.destroyed) {
    throw new InvalidResponseError('the answer has been read already', { reason: 'body_used' })
  }
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop early destroys the stream, whose error event would have no other listener.
  body.on('error', () => {})
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  return await decoded({ statusCode, headers, body: Buffer.concat(chunks) }, limit)
}

/** A response without its content codings, in body and headers. */
export async function decoded (answer: BufferedResponse, limit: number): Promise<BufferedResponse> {
  const { 'content-encoding': encoding, 'content-length': _packed, ...headers } = answer.headers
  if (encoding === undefined || answer.body.length === 0) return answer
  const { decodeBody } = await import('./content-coding.ts')
  return { statusCode: answer.statusCode, headers, body: await decodeBody(answer.body, encoding, limit) }
}

/** A response that was read whole, in the shape of undici's `ResponseData`. */
export function asResponseData ({ statusCode, headers, body }: BufferedResponse): ResponseData {
  const stream = Readable.from(body.length === 0 ? [] : [body], { objectMode: false })
  const consumed = async () => {
    stream.destroy()
    return body
  }
  const mixin = {
    text: async () => (await consumed()).toString('utf8'),
    json: async () => JSON.parse((await consumed()).toString('utf8')) as unknown,
    bytes: async () => new Uint8Array(await consumed()),
    arrayBuffer: async () => new Uint8Array(await consumed()).buffer,
    blob: async () => new Blob([new Uint8Array(await consumed())]),
    dump: async () => { stream.destroy() }
  }
  return {
    statusCode,
    statusText: '',
    headers,
    body: Object.assign(stream, mixin) as unknown as ResponseData['body'],
    trailers: {},
    opaque: null,
    context: {}
  }
}

/**
 * Keeps a response from being serialized: `return request.oauth.get(…)` would send the API's headers and undici's
 * internals to the browser.
 */
export function guardResponseData (data: ResponseData): ResponseData {
  return Object.defineProperty(data, 'toJSON', { value: refuseSerialization, configurable: true, writable: true })
}

function refuseSerialization (this: ResponseData): never {
  // It will not be read: its connection must be free.
  this.body.on('error', () => {}).destroy()
  throw notSerializable("the ResponseData of a call (the API's headers and a stream)")
}

/** The error for what a handler must not return. */
export function notSerializable (what: string): OAuthError {
  return new InvalidOptionsError(
    `${what} cannot be sent as JSON; return what the call's \`.json()\` or \`.text()\` resolves to, or the ` +
      '`body` of the awaited call',
    { reason: 'not_serializable' })
}
