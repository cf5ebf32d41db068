import { Readable } from 'node:stream'
import { InvalidResponseError, ResponseStatusError } from '../errors.ts'
import { excerptOf } from '../protocol/token-response.ts'
import type { BufferedAnswer, ResponseData } from './transport.ts'

/** How one call is sent: as a stream, or read whole. */
export interface CallSender {
  provider: string
  stream: () => Promise<ResponseData>
  buffered: () => Promise<BufferedAnswer>
}

/**
 * One API call: a promise of undici's `ResponseData`, sent in the next microtask whether or not anybody waits for it.
 * `.json()`, `.text()` and `.bytes()` read the answer whole and refuse anything but 2xx; all of them share that one send.
 */
export class OAuthCall extends Promise<ResponseData> {
  // What `then` returns is a plain promise: there is no second call behind it.
  static override get [Symbol.species] () { return Promise }

  readonly #sender: CallSender
  readonly #resolve: (data: ResponseData) => void
  readonly #reject: (error: unknown) => void
  #buffered: Promise<BufferedAnswer> | undefined
  #streamed: Promise<ResponseData> | undefined
  #wantsBuffer = false

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
    queueMicrotask(() => this.#send())
  }

  #send (): void {
    if (this.#buffered !== undefined || this.#streamed !== undefined) return
    if (this.#wantsBuffer) {
      this.#buffered = this.#sender.buffered()
      return
    }
    this.#streamed = this.#sender.stream()
    this.#streamed.then(this.#resolve, (error: unknown) => {
      // A call that nobody waits for (yet) must not end the process when it fails.
      super.then(undefined, () => {})
      this.#reject(error)
    })
  }

  override then<A = ResponseData, B = never> (onResolve?: ((data: ResponseData) => A | PromiseLike<A>) | null, onReject?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<A | B> {
    // Somebody reads the answer whole and waits for the call as well: what was read is handed out as a ResponseData.
    if (this.#wantsBuffer && this.#streamed === undefined) this.#answer().then(answer => this.#resolve(asResponseData(answer)), this.#reject)
    return super.then(onResolve, onReject)
  }

  /**
   * The answer parsed as JSON; undefined where it has no body (204, HEAD).
   * @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE
   */
  async json<T = unknown> (): Promise<T> {
    const { body } = await this.#success()
    if (body.length === 0) return undefined as T
    const text = body.toString('utf8')
    try {
      return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) as T
    } catch {
      throw new InvalidResponseError(`an API of provider "${this.#sender.provider}" answered with something that is no JSON`, { provider: this.#sender.provider, reason: 'unreadable_response' })
    }
  }

  /** The answer as text. @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE */
  async text (): Promise<string> {
    return (await this.#success()).body.toString('utf8')
  }

  /** The answer as bytes. @throws FST_OAUTH_RESPONSE_STATUS for anything but 2xx, FST_OAUTH_INVALID_RESPONSE */
  async bytes (): Promise<Uint8Array> {
    return (await this.#success()).body
  }

  async #success (): Promise<BufferedAnswer> {
    const answer = await this.#answer()
    const { statusCode, headers, body } = answer
    if (statusCode >= 200 && statusCode < 300) return answer
    const error = new ResponseStatusError(`an API of provider "${this.#sender.provider}" answered ${statusCode}`, {
      provider: this.#sender.provider,
      responseStatus: statusCode,
      excerpt: excerptOf(body.toString('utf8', 0, 2000))
    })
    // For the handler that wants to look; not for a log.
    Object.defineProperty(error, 'response', { value: { statusCode, headers, body }, configurable: true })
    throw error
  }

  #answer (): Promise<BufferedAnswer> {
    if (this.#buffered !== undefined) return this.#buffered
    if (this.#streamed !== undefined) {
      this.#buffered = this.#streamed.then(async ({ statusCode, headers, body }) => ({ statusCode, headers, body: Buffer.from(await body.arrayBuffer()) }))
      return this.#buffered
    }
    this.#wantsBuffer = true
    return Promise.resolve().then(() => {
      this.#send()
      return this.#buffered!
    })
  }
}

function asResponseData ({ statusCode, headers, body }: BufferedAnswer): ResponseData {
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
  return { statusCode, statusText: '', headers, body: Object.assign(stream, mixin) as unknown as ResponseData['body'], trailers: {}, opaque: null, context: {} }
}
