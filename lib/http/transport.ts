import type * as Undici from 'undici'
import type { Dispatcher } from 'undici'
import { InvalidResponseError } from '../errors.ts'
import type { ClientCertificate } from './client-certificate.ts'
import { type BufferedResponse, decoded, type ResponseData } from './response.ts'
import { tooLarge } from './too-large.ts'

/** Where a request goes. */
export interface RequestTarget {
  origin: string
  /** With the query. */
  path: string
}

/** Where a request to a URL goes. */
export function targetOf ({ origin, pathname, search }: URL): RequestTarget {
  return { origin, path: pathname + search }
}

/** One request as it goes to undici, redirects always off. */
export interface TransportRequest extends RequestTarget {
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

const CONTENT_ENCODING = 'content-encoding'
const NO_BODY = Buffer.alloc(0)

/** Requests to providers have connections of their own and never wait behind API calls. */
type Pool = 'api' | 'provider'

/** The only file that calls undici, which is imported at the first call: the start of an app does not wait for it. */
export class Transport {
  readonly #given: Dispatcher | undefined
  readonly #certificate: ClientCertificate | undefined
  #undici: typeof Undici | undefined
  #api: Undici.Agent | undefined
  #provider: Undici.Agent | undefined
  #closed = false

  /**
   * @param dispatcher the app's own; it stays open when the app closes
   * @param certificate shown to each server that asks for one in the TLS handshake; connections and TLS sessions are
   *   this transport's alone
   */
  constructor (dispatcher?: Dispatcher, certificate?: ClientCertificate) {
    this.#given = dispatcher
    this.#certificate = certificate
  }

  /** Sends an API call; the body of the response is a stream. */
  stream (request: TransportRequest): Promise<ResponseData> {
    const dispatcher = this.#ready('api')
    if (dispatcher === undefined) return this.#open('api').then(() => this.stream(request))
    return dispatcher.request(dispatchOptions(request, request.signal))
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
      const collector = this.#given === undefined
        ? new NativeCollector(resolve, reject, limit, request.beforeSend, this.#undici!.util.parseHeaders)
        : new PortableCollector(resolve, reject, limit, request.beforeSend)
      if (request.signal !== undefined || timeoutMs !== undefined) collector.endWith(request.signal, timeoutMs)
      try {
        dispatcher.dispatch(dispatchOptions(request), collector)
      } catch (error) {
        collector.fail(error)
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

  async #open (pool: Pool): Promise<void> {
    this.#undici ??= await import('undici')
    if (this.#closed) {
      throw new InvalidResponseError('the app has closed; no further call is sent', { reason: 'closed' })
    }
    if (pool === 'provider') this.#provider ??= this.#newAgent(this.#undici)
    else this.#api ??= this.#newAgent(this.#undici)
  }

  #newAgent ({ Agent }: typeof Undici): Undici.Agent {
    if (this.#certificate === undefined) return new Agent({ connections: CONNECTIONS })
    const { expiresAt: _none, ...connect } = this.#certificate
    return new Agent({ connections: CONNECTIONS, connect: connect as Undici.buildConnector.BuildOptions })
  }
}

type DispatchOptions = Dispatcher.RequestOptions & { maxRedirections: 0 }

function dispatchOptions (
  { origin, path, method, headers, body = null, options }: TransportRequest, signal: AbortSignal | null = null
): DispatchOptions {
  headers['user-agent'] ??= USER_AGENT
  const dispatched: DispatchOptions = {
    origin,
    path,
    method: method as Dispatcher.HttpMethod,
    headers,
    body,
    signal,
    // Switches off undici's redirect interceptor in a dispatcher of the app's: it would send the token, or the secret
    // of a token request, wherever a server points.
    maxRedirections: 0
  }
  return options === undefined ? dispatched : { ...options, ...dispatched }
}

/** Collects one response. */
abstract class Collector {
  readonly #resolve: (answer: BufferedResponse | Promise<BufferedResponse>) => void
  readonly #reject: (error: unknown) => void
  readonly #limit: number
  readonly #beforeSend: (() => void) | undefined
  #abort: ((reason: Error) => void) | undefined
  #size = 0
  /** What came so far. Most responses are one chunk, which is not copied. */
  #first: Buffer | undefined
  #others: Buffer[] | undefined
  #done = false
  #release: (() => void) | undefined

  constructor (
    resolve: (answer: BufferedResponse | Promise<BufferedResponse>) => void, reject: (error: unknown) => void,
    limit: number, beforeSend: (() => void) | undefined
  ) {
    this.#resolve = resolve
    this.#reject = reject
    this.#limit = limit
    this.#beforeSend = beforeSend
  }

  /** The response, once its body is there. */
  protected abstract response (body: Buffer): BufferedResponse | Promise<BufferedResponse>

  protected get limit (): number { return this.#limit }

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

  /** A connection is ready, and the request is about to be written. */
  protected begin (abort: (reason: Error) => void): void {
    this.#abort = abort
    if (this.#done) return abort(new Error('the call is over'))
    try {
      this.#beforeSend?.()
    } catch (error) {
      this.fail(error)
    }
  }

  protected add (chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#size > this.#limit) this.fail(tooLarge(this.#limit))
    else if (this.#first === undefined) this.#first = chunk
    else (this.#others ??= []).push(chunk)
  }

  protected end (): void {
    if (!this.#finish()) return
    const first = this.#first ?? NO_BODY
    this.#resolve(this.response(this.#others === undefined ? first : Buffer.concat([first, ...this.#others])))
  }

  /** Ends the exchange with an error, unless it is over. */
  fail (error: unknown): void {
    if (!this.#finish()) return
    this.#reject(error)
    this.#abort?.(error instanceof Error ? error : new Error('aborted'))
  }

  #finish (): boolean {
    if (this.#done) return false
    this.#done = true
    this.#release?.()
    return true
  }
}

/** With the handler API of undici 7 and 8: for a dispatcher of the app's. */
class PortableCollector extends Collector implements Dispatcher.DispatchHandler {
  #statusCode = 0
  #headers: BufferedResponse['headers'] = {}

  onRequestStart (controller: Dispatcher.DispatchController): void {
    this.begin(reason => controller.abort(reason))
  }

  onResponseStart (_controller: unknown, statusCode: number, headers: BufferedResponse['headers']): void {
    this.#statusCode = statusCode
    this.#headers = headers
  }

  onResponseData (_controller: unknown, chunk: Buffer): void { this.add(chunk) }
  onResponseEnd (): void { this.end() }
  onResponseError (_controller: unknown, error: Error): void { this.fail(error) }

  protected override response (body: Buffer): BufferedResponse | Promise<BufferedResponse> {
    return decoded({ statusCode: this.#statusCode, headers: this.#headers, body }, this.limit)
  }
}

type ParseHeaders = typeof Undici.util.parseHeaders

/**
 * With the handler API that undici 7 itself dispatches: it wraps a handler of the other one, and parses all headers for
 * it, which most calls never look at. For the Agents of this transport.
 */
class NativeCollector extends Collector implements Dispatcher.DispatchHandler {
  readonly #parseHeaders: ParseHeaders
  #statusCode = 0
  #rawHeaders: Buffer[] = []

  constructor (
    resolve: (answer: BufferedResponse | Promise<BufferedResponse>) => void, reject: (error: unknown) => void,
    limit: number, beforeSend: (() => void) | undefined, parseHeaders: ParseHeaders
  ) {
    super(resolve, reject, limit, beforeSend)
    this.#parseHeaders = parseHeaders
  }

  onConnect (abort: (reason?: Error) => void): void { this.begin(abort) }

  onHeaders (statusCode: number, rawHeaders: Buffer[]): boolean {
    this.#statusCode = statusCode
    this.#rawHeaders = rawHeaders
    return true
  }

  onData (chunk: Buffer): boolean {
    this.add(chunk)
    return true
  }

  onComplete (): void { this.end() }
  onError (error: Error): void { this.fail(error) }

  protected override response (body: Buffer): BufferedResponse | Promise<BufferedResponse> {
    const response = new NativeResponse(this.#statusCode, this.#rawHeaders, body, this.#parseHeaders)
    return response.mayBeEncoded ? decoded(response, this.limit) : response
  }
}

/** A response whose headers are parsed when they are asked for. */
class NativeResponse implements BufferedResponse {
  readonly statusCode: number
  readonly body: Buffer
  readonly #rawHeaders: Buffer[]
  readonly #parseHeaders: ParseHeaders
  #headers: BufferedResponse['headers'] | undefined

  constructor (statusCode: number, rawHeaders: Buffer[], body: Buffer, parseHeaders: ParseHeaders) {
    this.statusCode = statusCode
    this.body = body
    this.#rawHeaders = rawHeaders
    this.#parseHeaders = parseHeaders
  }

  get headers (): BufferedResponse['headers'] {
    this.#headers ??= this.#parseHeaders(this.#rawHeaders)
    return this.#headers
  }

  /** Whether a header has a name as long as `content-encoding`. */
  get mayBeEncoded (): boolean {
    for (let index = 0; index < this.#rawHeaders.length; index += 2) {
      if (this.#rawHeaders[index]!.length === CONTENT_ENCODING.length) return true
    }
    return false
  }
}
