import { InvalidResponseError, ResponseStatusError } from '../errors.ts'
import {
  asResponseData,
  type BufferedAnswer,
  guardResponseData,
  notSerializable,
  type ResponseData
} from '../http/response.ts'
import { excerptOf } from '../oauth/token-response.ts'

/** How one call is sent: as a stream or read whole, and never twice. */
export interface CallSender {
  /** The provider's name, for errors; known once the call is sent. */
  readonly provider: string
  /** Method and path of what was sent, for errors. */
  readonly target: string
  /** What was sent along and may come back in an answer. */
  readonly secret: string | undefined
  stream (): Promise<ResponseData>
  /** @param accept what the call would like to get, where its own headers say nothing */
  buffered (accept?: string): Promise<BufferedAnswer>
  /** Reads the rest of a streamed answer. */
  rest (data: ResponseData): Promise<BufferedAnswer>
  /** Parses JSON; throws where it is none. */
  parse (text: string): unknown
}

const nothing = () => {}
const settled = Promise.resolve()

// A call that nobody ever waited for must not keep the connection that its answer came over.
const abandoned = new FinalizationRegistry<ResponseData['body']>((body) => { body.dump().catch(nothing) })

/**
 * One API call: a promise of undici's `ResponseData`, sent in the next microtask whether or not anybody waits for it.
 * `.json()`, `.text()` and `.bytes()` read the answer whole and refuse anything but 2xx; all of them share that one
 * send. A failure that nobody waits for is dropped: it must not end the process.
 */
export class OAuthCall extends Promise<ResponseData> {
  // What `then` returns is a plain promise: there is no second call behind it.
  static override get [Symbol.species] () { return Promise }

  readonly #sender: CallSender
  readonly #resolve: (data: ResponseData) => void
  readonly #reject: (error: unknown) => void
  #streamed: Promise<ResponseData> | undefined
  #buffered: Promise<BufferedAnswer> | undefined
  #awaited = false

  constructor (sender: CallSender) {
    let resolve!: (data: ResponseData) => void
    let reject!: (error: unknown) => void
    super((onResolve, onReject) => {
      resolve = onResolve
      reject = onReject
    })
    this.#sender = sender
    this.#resolve = resolve
    this.#reject = reject
    // Only now is it known whether the answer is wanted as a stream or, by far the cheaper way, whole.
    void settled.then(() => { if (this.#buffered === undefined) this.#stream() })
  }

  override then<A = ResponseData, B = never>(
    onResolve?: ((data: ResponseData) => A | PromiseLike<A>) | null,
    onReject?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    if (!this.#awaited) {
      this.#awaited = true
      abandoned.unregister(this)
      if (this.#streamed === undefined && this.#buffered !== undefined) this.#share(this.#buffered)
    }
    return super.then(onResolve, onReject)
  }

  /**
   * The answer parsed as JSON; undefined where it has no body (204, HEAD).
   * @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE, and what the call itself throws
   */
  json<T = unknown> (): Promise<T> {
    return quiet(this.#json<T>(this.#answer('application/json')))
  }

  /**
   * The answer as text.
   * @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE, and what the call itself throws
   */
  text (): Promise<string> {
    return quiet(this.#answer().then(answer => this.#success(answer).toString('utf8')))
  }

  /**
   * The answer as bytes.
   * @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE, and what the call itself throws
   */
  bytes (): Promise<Uint8Array> {
    // A copy: the original is shared, and may be a piece of a larger buffer.
    return quiet(this.#answer().then(answer => new Uint8Array(this.#success(answer))))
  }

  /** A call that was not awaited has no JSON of its own. @throws FST_OAUTH_INVALID_OPTIONS */
  toJSON (): never {
    throw notSerializable('a call that was not awaited')
  }

  async #json<T> (answer: Promise<BufferedAnswer>): Promise<T> {
    const body = this.#success(await answer)
    if (body.length === 0) return undefined as T
    const text = body.toString('utf8')
    try {
      return this.#sender.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) as T
    } catch {
      const { provider, target } = this.#sender
      throw new InvalidResponseError(
        `an API of provider "${provider}" answered ${target} with something that is no JSON`,
        { provider, reason: 'unreadable_response' }
      )
    }
  }

  #success ({ statusCode, headers, body }: BufferedAnswer): Buffer {
    if (statusCode >= 200 && statusCode < 300) return body
    const { provider, target, secret } = this.#sender
    throw new ResponseStatusError(`an API of provider "${provider}" answered ${statusCode} to ${target}`, {
      provider,
      responseStatus: statusCode,
      excerpt: excerptOf(body.toString('utf8', 0, 2000), secret === undefined ? [] : [secret]),
      response: { statusCode, headers, body }
    })
  }

  #answer (accept?: string): Promise<BufferedAnswer> {
    if (this.#buffered !== undefined) return this.#buffered
    if (this.#streamed !== undefined) {
      abandoned.unregister(this)
      this.#buffered = this.#streamed.then(data => this.#sender.rest(data))
      return this.#buffered
    }
    this.#buffered = this.#sender.buffered(accept)
    if (this.#awaited) this.#share(this.#buffered)
    return this.#buffered
  }

  #stream (): void {
    this.#streamed = this.#sender.stream()
    this.#streamed.then((data) => {
      if (!this.#awaited && this.#buffered === undefined) abandoned.register(this, data.body, this)
      this.#resolve(guardResponseData(data))
    }, (error: unknown) => {
      super.then(undefined, nothing)
      this.#reject(error)
    })
  }

  // Somebody reads the answer whole and waits for the call as well: what was read is handed out as a ResponseData.
  #share (buffered: Promise<BufferedAnswer>): void {
    buffered.then(answer => this.#resolve(guardResponseData(asResponseData(answer))), this.#reject)
  }
}

function quiet<T> (promise: Promise<T>): Promise<T> {
  promise.catch(nothing)
  return promise
}
