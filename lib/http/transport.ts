import type { Agent, Dispatcher } from 'undici'
import { InvalidResponseError } from '../errors.ts'
import { tooLarge } from './content-coding.ts'
import { type BufferedAnswer, decoded, type ResponseData } from './response.ts'

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

/** Connections that one origin may have; undici's own default has no end. */
const CONNECTIONS = 256
/** Some APIs refuse whoever does not say who they are (api.github.com), and undici says nothing. */
const USER_AGENT = 'fastify-oauth-session'

/** Calls to a provider have connections of their own and never wait behind API calls. */
type Pool = 'api' | 'provider'

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
    const dispatcher = this.#ready('api') ?? await this.#open('api')
    return await dispatcher.request({ ...dispatchOptions(request), signal: request.signal ?? null })
  }

  /**
   * Sends a request and reads the answer whole: `dispatch` without streams costs a third of undici's `request`.
   * @param limit bytes, before and after decompression
   * @param timeoutMs milliseconds for the whole exchange; a server that drips outlives every other limit
   */
  buffered (
    request: TransportRequest,
    options: { limit: number, timeoutMs?: number, line: Pool }
  ): Promise<BufferedAnswer> {
    const { limit, timeoutMs, line } = options
    const dispatcher = this.#ready(line)
    if (dispatcher === undefined) return this.#open(line).then(() => this.buffered(request, options))
    return new Promise<BufferedAnswer>((resolve, reject) => {
      const handler = new BufferingHandler(resolve, reject, limit, request.beforeSend)
      if (request.signal !== undefined || timeoutMs !== undefined) handler.endWith(request.signal, timeoutMs)
      try {
        dispatcher.dispatch(dispatchOptions(request), handler)
      } catch (error) {
        handler.fail(error)
      }
    })
  }

  /** Closes what this transport opened, at once. */
  async close (): Promise<void> {
    this.#closed = true
    await Promise.all([this.#api?.destroy(), this.#provider?.destroy()])
  }

  #ready (line: Pool): Dispatcher | undefined {
    return this.#given ?? (line === 'api' ? this.#api : this.#provider)
  }

  async #open (line: Pool): Promise<Dispatcher> {
    const { Agent } = await import('undici')
    if (this.#closed) {
      throw new InvalidResponseError('the app has closed; no further call is sent', { reason: 'closed' })
    }
    if (line === 'provider') this.#provider ??= new Agent({ connections: CONNECTIONS })
    else this.#api ??= new Agent({ connections: CONNECTIONS })
    return this.#ready(line)!
  }
}

function dispatchOptions ({
  url,
  method,
  headers,
  body,
  options
}: TransportRequest): Dispatcher.RequestOptions & { maxRedirections: 0 } {
  headers['user-agent'] ??= USER_AGENT
  const dispatched: Dispatcher.RequestOptions & { maxRedirections: 0 } = {
    origin: url.origin,
    path: url.pathname + url.search,
    method: method as Dispatcher.HttpMethod,
    headers,
    body: body ?? null,
    // Where the app composed its dispatcher with undici's redirect interceptor, this switches it off for our calls:
    // it would carry the bearer, or a token request's secret, to wherever a server points.
    maxRedirections: 0
  }
  return options === undefined ? dispatched : { ...options, ...dispatched }
}

/** Collects one answer. */
class BufferingHandler implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: BufferedAnswer | Promise<BufferedAnswer>) => void
  readonly #reject: (error: unknown) => void
  readonly #limit: number
  readonly #chunks: Buffer[] = []
  #controller: Dispatcher.DispatchController | undefined
  #size = 0
  #statusCode = 0
  #headers: BufferedAnswer['headers'] = {}
  #done = false
  #release: (() => void) | undefined
  readonly #beforeSend: (() => void) | undefined

  constructor (
    resolve: (answer: BufferedAnswer | Promise<BufferedAnswer>) => void,
    reject: (error: unknown) => void,
    limit: number,
    beforeSend: (() => void) | undefined
  ) {
    this.#resolve = resolve
    this.#reject = reject
    this.#limit = limit
    this.#beforeSend = beforeSend
  }

  /** Ends the exchange when the signal or the time says so. */
  endWith (signal: AbortSignal | undefined, timeoutMs: number | undefined): void {
    const abort = () => {
      this.fail(signal!.reason)
    }
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
          this.fail(new InvalidResponseError(`no whole answer within ${timeoutMs} ms`, { reason: 'timeout' }))
        }, timeoutMs)
    signal?.addEventListener('abort', abort)
    this.#release = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    if (signal?.aborted === true) abort()
  }

  onRequestStart (controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#done) return controller.abort(new Error('the call is over'))
    try {
      this.#beforeSend?.()
    } catch (error) {
      this.fail(error)
    }
  }

  onResponseStart (
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: BufferedAnswer['headers']
  ): void {
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
    const chunks = this.#chunks
    const answer = {
      statusCode: this.#statusCode,
      headers: this.#headers,
      body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    }
    this.#resolve(answer.headers['content-encoding'] === undefined ? answer : decoded(answer, this.#limit))
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
    this.#release?.()
    return true
  }
}
