import type * as Undici from 'undici'
import type { Dispatcher } from 'undici'
import { InvalidResponseError } from '../errors.ts'
import { type BufferedResponse, decoded } from './response.ts'
import { tooLarge } from './too-large.ts'

const CONTENT_ENCODING = 'content-encoding'
const NO_BODY = Buffer.alloc(0)

/** Collects one response, as the handler of a dispatch. */
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
export class PortableCollector extends Collector implements Dispatcher.DispatchHandler {
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
export class NativeCollector extends Collector implements Dispatcher.DispatchHandler {
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
