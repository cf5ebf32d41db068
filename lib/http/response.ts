import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { InvalidOptionsError, InvalidResponseError, type OAuthError } from '../errors.ts'
import { tooLarge } from './too-large.ts'

export type ResponseData = Dispatcher.ResponseData

/** A response that was read whole and decompressed. */
export interface BufferedResponse {
  readonly statusCode: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
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
    throw new InvalidResponseError('the answer has been read already; read it once', { reason: 'body_used' })
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

/** A response without its content codings, in body and headers; the same one if it has none. */
export function decoded (answer: BufferedResponse, limit: number): BufferedResponse | Promise<BufferedResponse> {
  const { statusCode, body } = answer
  const { 'content-encoding': encoding, 'content-length': _packed, ...headers } = answer.headers
  if (encoding === undefined || body.length === 0) return answer
  return decode({ statusCode, headers, body }, encoding, limit)
}

async function decode (
  { statusCode, headers, body }: BufferedResponse, encoding: string | string[], limit: number
): Promise<BufferedResponse> {
  const { decodeBody } = await import('./content-coding.ts')
  return { statusCode, headers, body: await decodeBody(body, encoding, limit) }
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
 * A response as undici has it, which cannot be serialized: `return request.oauth.get(…)` would send the API's headers
 * and undici's internals to the browser.
 */
export class GuardedResponseData implements ResponseData {
  readonly statusCode: number
  readonly statusText: string
  readonly headers: ResponseData['headers']
  readonly body: ResponseData['body']
  readonly trailers: ResponseData['trailers']
  readonly opaque: ResponseData['opaque']
  readonly context: ResponseData['context']

  constructor ({ statusCode, statusText, headers, body, trailers, opaque, context }: ResponseData) {
    this.statusCode = statusCode
    this.statusText = statusText
    this.headers = headers
    this.body = body
    this.trailers = trailers
    this.opaque = opaque
    this.context = context
  }

  /** @throws FST_OAUTH_INVALID_OPTIONS */
  toJSON (): never {
    // It will not be read: its connection must be free.
    this.body.on('error', () => {}).destroy()
    throw notSerializable("the ResponseData of a call (the API's headers and a stream)")
  }
}

/** The error for what a handler must not return. */
export function notSerializable (what: string): OAuthError {
  return new InvalidOptionsError(
    `${what} cannot be sent as JSON; return what the call's \`.json()\` or \`.text()\` resolves to, or the ` +
      '`body` of the awaited call',
    { reason: 'not_serializable' })
}
