import type { Agent, Dispatcher } from 'undici'
import { InvalidResponseError } from '../errors.ts'
import { type BufferedResponse, decoded, type ResponseData } from './response.ts'
import { tooLarge } from './too-large.ts'

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
/** Some APIs refuse a request without a user agent (api.github.com), and undici sends none. */
const USER_AGENT = 'fastify-oauth-session'

/** Requests to providers have connections of their own and never wait behind API calls. */
type Pool = 'api' | 'provider'

/** The only file that calls undici, which is imported at the first call: the start of an app does not wait for it. */
export class Transport {
  readonly #given: Dispatcher | undefined
  #api: Agent | undefined
  #provider: Agent | undefined
  #closed = false

  /** @param dispatcher the app's own; it stays open when the app closes */
  constructor (dispatcher?: Dispatcher) {
    this.#given = dispatcher
  }

  /** Sends an API call; the body of the response is a stream. */
  async stream (request: TransportRequest): Promise<ResponseData> {
    const dispatcher = this.#ready('api') ?? await this.#open('api')
    return await dispatcher.request({ ...dispatchOptions(request), signal: request.signal ?? null })
  }

  /**
   * Sends a request and reads the whole response: `dispatch` without streams costs a third of undici's `request`.
   * @param options.limit bytes, before and after decompression
   * @param options.timeoutMs milliseconds for the whole exchange; a slow trickle of data outlives undici's own limits
   */
  buffered (
    request: TransportRequest,
    options: { limit: number, timeoutMs?: number, pool: Pool }
  ): Promise<BufferedResponse> {
    const { limit, timeoutMs, pool } = options
    const dispatcher = this.#ready(pool)
    if (dispatcher === undefined) return this.#open(pool).then(() => this.buffered(request, options))
    return new Promise<BufferedResponse>((resolve, reject) => {
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

  #ready (pool: Pool): Dispatcher | undefined {
    return this.#given ?? (pool === 'api' ? this.#api : this.#provider)
  }

  async #open (pool: Pool): Promise<Dispatcher> {
    const { Agent } = await import('undici')
    if (this.#closed) {
      throw new InvalidResponseError('the app has closed; no further call is sent', { reason: 'closed' })
    }
    if (pool === 'provider') this.#provider ??= new Agent({ connections: CONNECTIONS })
    else this.#api ??= new Agent({ connections: CONNECTIONS })
    return this.#ready(pool)!
  }
}

type DispatchOptions = Dispatcher.RequestOptions & { maxRedirections: 0 }

function dispatchOptions ({ url, method, headers, body, options }: TransportRequest): DispatchOptions {
  headers['user-agent'] ??= USER_AGENT
  const dispatched: DispatchOptions = {
    origin: url.origin,
    path: url.pathname + url.search,
    method: method as Dispatcher.HttpMethod,
    headers,
    body: body ?? null,
    // Switches off undici's redirect interceptor in a dispatcher of the app's: it would send the token, or the secret
    // of a token request, wherever a server points.
    maxRedirections: 0
  }
  return options === undefined ? dispatched : { ...options, ...dispatched }
}

/** Collects one response. */
class BufferingHandler implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: BufferedResponse | Promise<BufferedResponse>) => void
  readonly #reject: (error: unknown) => void
  readonly #limit: number
  readonly #chunks: Buffer[] = []
  #controller: Dispatcher.DispatchController | undefined
  #size = 0
  #statusCode = 0
  #headers: BufferedResponse['headers'] = {}
  #done = false
  #release: (() => void) | undefined
  readonly #beforeSend: (() => void) | undefined

  constructor (
    resolve: (answer: BufferedResponse | Promise<BufferedResponse>) => void, reject: (error: unknown) => void,
    limit: number, beforeSend: (() => void) | undefined
  ) {
    this.#resolve = resolve
    this.#reject = reject
    this.#limit = limit
    this.#beforeSend = beforeSend
  }

  /** Ends the exchange when the signal or the time says so. */
  endWith (signal: AbortSignal | undefined, timeoutMs: number | undefined): void {
    const abort = () => this.fail(signal!.reason)
    const expire = () => {
      this.fail(new InvalidResponseError(`no complete response within ${timeoutMs} ms`, { reason: 'timeout' }))
    }
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs)
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
    _controller: Dispatcher.DispatchController, statusCode: number, headers: BufferedResponse['headers']
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
