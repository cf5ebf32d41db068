import type { Agent, Dispatcher } from 'undici'
import { brotliDecompress, gunzip, inflate, type ZlibOptions } from 'node:zlib'
import { promisify } from 'node:util'
import { InvalidResponseError } from '../errors.ts'

export type ResponseData = Dispatcher.ResponseData

/** One request as it goes to undici: always a parsed URL, redirects always off. */
export interface TransportRequest {
  url: URL
  method: string
  headers: Record<string, string | string[] | undefined>
  body?: Dispatcher.DispatchOptions['body'] | undefined
  signal?: AbortSignal | undefined
  /** Called when a connection is ready and the request is about to be written; throwing keeps it from being sent. */
  beforeSend?: (() => void) | undefined
  /** undici's own options (`headersTimeout`, `bodyTimeout`, …). */
  options?: Partial<Dispatcher.RequestOptions> | undefined
}

/** A whole answer, decompressed. */
export interface BufferedAnswer {
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

/** Connections that one origin may have; undici's own default has no end. */
const CONNECTIONS = 256

/** The one place that calls undici. Imported at the first call: an app that boots does not wait for it. */
export class Transport {
  readonly #given: Dispatcher | undefined
  #api: Agent | undefined
  #provider: Agent | undefined
  #closed = false

  /** @param dispatcher the app's own; it stays open when the app closes */
  constructor (dispatcher?: Dispatcher) {
    this.#given = dispatcher
  }

  /** Sends an API call; the answer's body is a stream. */
  async stream (request: TransportRequest): Promise<ResponseData> {
    const dispatcher = await this.#dispatcher('api')
    return await dispatcher.request({ ...dispatchOptions(request), signal: request.signal ?? null })
  }

  /**
   * Sends a request and reads the answer whole: `dispatch` without streams costs a third of undici's `request`.
   * @param limit bytes, before and after decompression
   * @param timeoutMs milliseconds for the whole exchange; a server that drips outlives every other limit
   * @param line calls to a provider have connections of their own and never wait behind API calls
   */
  async buffered (request: TransportRequest, { limit, timeoutMs, line }: { limit: number, timeoutMs?: number, line: 'api' | 'provider' }): Promise<BufferedAnswer> {
    const dispatcher = this.#ready(line) ?? await this.#dispatcher(line)
    const answer = await new Promise<BufferedAnswer>((resolve, reject) => {
      const handler = new BufferingHandler(resolve, reject, limit, request, timeoutMs)
      try {
        dispatcher.dispatch(dispatchOptions(request), handler)
      } catch (error) {
        handler.fail(error)
      }
    })
    const encoding = answer.headers['content-encoding']
    if (encoding !== undefined && answer.body.length > 0) answer.body = await decompress(answer.body, encoding, limit)
    return answer
  }

  /** Closes what this transport opened, at once. */
  async close (): Promise<void> {
    this.#closed = true
    await Promise.all([this.#api?.destroy(), this.#provider?.destroy()])
  }

  #ready (line: 'api' | 'provider'): Dispatcher | undefined {
    return this.#given ?? (line === 'api' ? this.#api : this.#provider)
  }

  async #dispatcher (line: 'api' | 'provider'): Promise<Dispatcher> {
    const { Agent } = await import('undici')
    if (this.#closed) throw new InvalidResponseError('the app has closed; no further call is sent', { reason: 'closed' })
    if (line === 'provider') this.#provider ??= new Agent({ connections: CONNECTIONS })
    else this.#api ??= new Agent({ connections: CONNECTIONS })
    return this.#ready(line)!
  }
}

function dispatchOptions ({ url, method, headers, body, options }: TransportRequest): Dispatcher.RequestOptions & { maxRedirections: 0 } {
  return {
    ...options,
    origin: url.origin,
    path: url.pathname + url.search,
    method: method as Dispatcher.HttpMethod,
    headers,
    body: body ?? null,
    // Where the app composed its dispatcher with undici's redirect interceptor, this switches it off for our calls:
    // it would carry the bearer, or a token request's secret, to wherever a server points.
    maxRedirections: 0
  }
}

class BufferingHandler implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: BufferedAnswer) => void
  readonly #reject: (error: unknown) => void
  readonly #limit: number
  readonly #signal: AbortSignal | undefined
  readonly #beforeSend: (() => void) | undefined
  readonly #timer: NodeJS.Timeout | undefined
  readonly #chunks: Buffer[] = []
  #controller: Dispatcher.DispatchController | undefined
  #size = 0
  #statusCode = 0
  #headers: BufferedAnswer['headers'] = {}
  #done = false

  constructor (resolve: (answer: BufferedAnswer) => void, reject: (error: unknown) => void, limit: number, { signal, beforeSend }: TransportRequest, timeoutMs?: number) {
    this.#resolve = resolve
    this.#reject = reject
    this.#limit = limit
    this.#signal = signal
    this.#beforeSend = beforeSend
    signal?.addEventListener('abort', this.#onAbort)
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => this.fail(new InvalidResponseError(`no whole answer within ${timeoutMs} ms`, { reason: 'timeout' })), timeoutMs)
    }
  }

  readonly #onAbort = () => { this.fail(this.#signal!.reason) }

  onRequestStart (controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#signal?.aborted === true) return this.#onAbort()
    if (this.#done) return controller.abort(new Error('the call is over'))
    try {
      this.#beforeSend?.()
    } catch (error) {
      this.fail(error)
    }
  }

  onResponseStart (_controller: Dispatcher.DispatchController, statusCode: number, headers: BufferedAnswer['headers']): void {
    if (statusCode < 200) return
    this.#statusCode = statusCode
    this.#headers = headers
  }

  onResponseData (_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#size > this.#limit) this.fail(tooLarge(this.#limit))
    else this.#chunks.push(chunk)
  }

  onResponseEnd (): void {
    if (!this.#finish()) return
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    this.#resolve({ statusCode: this.#statusCode, headers: this.#headers, body })
  }

  onResponseError (_controller: unknown, error: Error): void {
    if (this.#finish()) this.#reject(error)
  }

  fail (error: unknown): void {
    if (!this.#finish()) return
    this.#reject(error)
    this.#controller?.abort(error instanceof Error ? error : new Error('aborted'))
  }

  #finish (): boolean {
    if (this.#done) return false
    this.#done = true
    clearTimeout(this.#timer)
    this.#signal?.removeEventListener('abort', this.#onAbort)
    return true
  }
}

const decoders: Record<string, (body: Buffer, options: ZlibOptions) => Promise<Buffer>> = {
  gzip: promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  'x-gzip': promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  deflate: promisify<Buffer, ZlibOptions, Buffer>(inflate),
  br: promisify<Buffer, object, Buffer>(brotliDecompress)
}

async function decompress (body: Buffer, encoding: string | string[], limit: number): Promise<Buffer> {
  const codings = String(encoding).toLowerCase().split(',').map(coding => coding.trim()).filter(coding => coding !== '' && coding !== 'identity')
  for (const coding of codings.reverse()) {
    const decoder = decoders[coding]
    if (decoder === undefined) throw new InvalidResponseError(`the answer is encoded as "${coding.slice(0, 40)}", which cannot be read here`, { reason: 'encoding' })
    try {
      body = await decoder(body, { maxOutputLength: limit })
    } catch (error) {
      throw (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(limit) : new InvalidResponseError('the answer cannot be decompressed', { reason: 'encoding', cause: error })
    }
  }
  return body
}

function tooLarge (limit: number) {
  return new InvalidResponseError(`the answer is larger than ${limit} bytes`, { reason: 'too_large' })
}
