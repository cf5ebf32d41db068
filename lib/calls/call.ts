import { InvalidResponseError, ResponseStatusError } from '../errors.ts'
import {
  asResponseData, type BufferedResponse, GuardedResponseData, notSerializable, type ResponseData
} from '../http/response.ts'
import { excerptOf } from '../oauth/token-response.ts'

/** Sends one call, once: as a stream or read whole. */
export interface CallSender {
  /** The provider's name, for errors; known once the call is sent. */
  readonly provider: string
  /** Method and path of what was sent, for errors. */
  readonly target: string
  /** The token, which a response may repeat. */
  readonly secret: string | undefined
  stream (): Promise<ResponseData>
  /** @param accept the `Accept` header, if the call has none of its own */
  buffered (accept?: string): Promise<BufferedResponse>
  /** Reads a streamed response whole. */
  rest (data: ResponseData): Promise<BufferedResponse>
  /** Parses JSON; throws if the text is none. */
  parse (text: string): unknown
}

const nothing = () => {}
const settled = Promise.resolve()

// A call that was never awaited must not keep the connection of its response.
const unreadResponses = new FinalizationRegistry<ResponseData['body']>((body) => { body.dump().catch(nothing) })

/**
 * One API call: a promise of undici's `ResponseData`, sent in the next microtask whether or not it is awaited.
 * `.json()`, `.text()` and `.bytes()` read the whole response and reject for anything but 2xx; all of them share that
 * one request. A rejection that is not handled is dropped: it must not end the process.
 */
export class OAuthCall extends Promise<ResponseData> {
  // `then` returns a plain promise: it makes no second call.
  static override get [Symbol.species] () { return Promise }

  readonly #sender: CallSender
  readonly #resolve: (data: ResponseData) => void
  readonly #reject: (error: unknown) => void
  #streamed: Promise<ResponseData> | undefined
  #buffered: Promise<BufferedResponse> | undefined
  #awaited = false
  /** Whether `unreadResponses` has its response. */
  #isWatched = false

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
    // By then it is known whether the response is wanted as a stream or whole, which is far cheaper.
    void settled.then(() => { if (this.#buffered === undefined) this.#stream() })
  }

  override then<A = ResponseData, B = never>(
    onResolve?: ((data: ResponseData) => A | PromiseLike<A>) | null,
    onReject?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    if (!this.#awaited) {
      this.#awaited = true
      this.#unwatch()
      if (this.#streamed === undefined && this.#buffered !== undefined) this.#share(this.#buffered)
    }
    return super.then(onResolve, onReject)
  }

  /**
   * The response parsed as JSON; undefined if it has no body (204, HEAD).
   * @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE, and what the call itself throws
   */
  json<T = unknown> (): Promise<T> {
    return withoutUnhandledRejection(this.#json<T>(this.#response('application/json')))
  }

  /**
   * The response as text.
   * @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE, and what the call itself throws
   */
  text (): Promise<string> {
    return withoutUnhandledRejection(this.#response().then(answer => this.#success(answer).toString('utf8')))
  }

  /**
   * The response as bytes.
   * @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE, and what the call itself throws
   */
  bytes (): Promise<Uint8Array> {
    // A copy: the original is shared, and may be a piece of a larger buffer.
    return withoutUnhandledRejection(this.#response().then(answer => new Uint8Array(this.#success(answer))))
  }

  /** A call cannot be serialized. @throws FST_OAUTH_INVALID_OPTIONS */
  toJSON (): never {
    throw notSerializable('a call that was not awaited')
  }

  async #json<T> (answer: Promise<BufferedResponse>): Promise<T> {
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

  #success (answer: BufferedResponse): Buffer {
    const { statusCode, body } = answer
    if (statusCode >= 200 && statusCode < 300) return body
    const { provider, target, secret } = this.#sender
    const { headers } = answer
    throw new ResponseStatusError(`an API of provider "${provider}" answered ${statusCode} to ${target}`, {
      provider,
      responseStatus: statusCode,
      excerpt: excerptOf(body.toString('utf8', 0, 2000), secret === undefined ? [] : [secret]),
      response: { statusCode, headers, body }
    })
  }

  #response (accept?: string): Promise<BufferedResponse> {
    if (this.#buffered !== undefined) return this.#buffered
    if (this.#streamed !== undefined) {
      this.#unwatch()
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
      if (!this.#awaited && this.#buffered === undefined) this.#watch(data)
      this.#resolve(new GuardedResponseData(data))
    }, (error: unknown) => {
      super.then(undefined, nothing)
      this.#reject(error)
    })
  }

  #watch ({ body }: ResponseData): void {
    this.#isWatched = true
    unreadResponses.register(this, body, this)
  }

  #unwatch (): void {
    if (this.#isWatched) unreadResponses.unregister(this)
  }

  // The response is read whole, and the call is awaited as well: it resolves to a ResponseData of what was read.
  #share (buffered: Promise<BufferedResponse>): void {
    buffered.then(answer => this.#resolve(new GuardedResponseData(asResponseData(answer))), this.#reject)
  }
}

function withoutUnhandledRejection<T> (promise: Promise<T>): Promise<T> {
  promise.catch(nothing)
  return promise
}
