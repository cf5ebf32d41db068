import type { Dispatcher } from 'undici'
import { ApiUnavailableError, InvalidOptionsError, InvalidResponseError, OAuthError } from '../errors.ts'
import { asResponseData, type BufferedResponse, readWhole, type ResponseData } from '../http/response.ts'
import type { Transport, TransportRequest } from '../http/transport.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import { appendQuery, type RequestParameters, setParameters } from '../oauth/urls.ts'
import type { ProviderConfig } from '../providers/config.ts'
import type { ProviderHooks } from '../providers/options.ts'
import { combineHooks } from '../providers/presets/hooks.ts'
import type { TokenSnapshot, TokenSource } from '../tokens/token-source.ts'
import { printable } from '../util/redact.ts'
import { checkCallOptions } from './call-options.ts'
import { type CallSender, OAuthCall } from './call.ts'
import {
  type CallBody, type CallHeaders, copyHeaders, discardBody, prepareBody, type PreparedBody
} from './request-body.ts'
import { assertResourceUrl, resolveResourceUrl, resolveUrl } from './resource-url.ts'
import { MAX_SENDS } from './retry.ts'
import { placeToken } from './token-placement.ts'

/** Options of one call: undici's, plus `json`. */
export interface CallOptions extends Omit<
  Partial<Dispatcher.RequestOptions>,
  'origin' | 'path' | 'body' | 'headers' | 'method' | 'signal' | 'upgrade' | 'query'
> {
  /** The HTTP method. Default GET. */
  method?: string
  /** A value that is sent as JSON. */
  json?: unknown
  /** A body in place of `json`: a string, bytes, a stream, URLSearchParams or FormData. */
  body?: CallBody
  /** Header fields: an object, a list of pairs, or Headers. An `authorization` is replaced by the token. */
  headers?: CallHeaders
  /** Ends this call alone: a refresh that it waits for goes on. */
  signal?: AbortSignal | null
  /** Parameters that are added to the URL's query. */
  query?: Record<string, unknown>
  /** Sends the call without the token; it may go anywhere then. */
  withholdToken?: boolean
  /** Bytes that `.json()`, `.text()` and `.bytes()` read at most. Default 16 MiB. */
  maxResponseSize?: number
}

const MAX_RESPONSE_SIZE = 16 * 1024 * 1024

/**
 * An HTTP client that is authorized as one account: checks the URL of each call, adds the token, and sends the call
 * again with a newer token after a 401.
 */
export class AuthorizedClient {
  /** Called for each call, not before; may throw FST_OAUTH_LOGIN_REQUIRED. */
  readonly config: () => ProviderConfig
  readonly transport: Transport
  /** Called for each call that has the token; may throw FST_OAUTH_LOGIN_REQUIRED. */
  readonly source: () => TokenSource
  /** Run after the provider's own. */
  readonly hooks: ProviderHooks | undefined

  constructor (
    config: ProviderConfig | (() => ProviderConfig), transport: Transport, source: () => TokenSource,
    hooks?: ProviderHooks
  ) {
    this.config = typeof config === 'function' ? config : () => config
    this.transport = transport
    this.source = source
    this.hooks = hooks
  }

  /** Parses what `.json()` returns. */
  parse (text: string): unknown {
    return JSON.parse(text)
  }

  /**
   * Sends a call. What is wrong with it is a rejection, never an exception.
   * @param url relative to the first resource server, or absolute below any of them
   */
  call (method: string | undefined, url: string | URL, options?: CallOptions): OAuthCall {
    return new OAuthCall(new AuthorizedCall(this, method, url, options ?? undefined))
  }
}

/** One call, sent as a stream or read whole; again after a 401. */
class AuthorizedCall implements CallSender {
  readonly #client: AuthorizedClient
  readonly #method: string | undefined
  readonly #url: string | URL
  readonly #options: CallOptions | undefined
  /** Whether undici has the request: what fails then is the transport, not a hook or an option. */
  #isSent = false
  #sent: Pick<TransportRequest, 'method' | 'url'> | undefined
  provider = ''
  secret: string | undefined

  constructor (
    client: AuthorizedClient, method: string | undefined, url: string | URL, options: CallOptions | undefined
  ) {
    this.#client = client
    this.#method = method
    this.#url = url
    this.#options = options
  }

  stream (): Promise<ResponseData> {
    const { transport } = this.#client
    return this.#send(request => transport.stream(request), async (refused) => {
      // Read first: until then it holds its connection, perhaps the only one.
      const whole = await readWhole(refused, this.#limit)
      return () => asResponseData(whole)
    })
  }

  buffered (accept?: string): Promise<BufferedResponse> {
    const { transport } = this.#client
    const reading = { limit: this.#limit, pool: 'api' } as const
    return this.#send((request) => {
      if (accept !== undefined) request.headers.accept ??= accept
      return transport.buffered(request, reading)
    }, refused => () => refused)
  }

  parse (text: string): unknown {
    return this.#client.parse(text)
  }

  async rest (data: ResponseData): Promise<BufferedResponse> {
    try {
      this.#isSent = true
      return await readWhole(data, this.#limit)
    } catch (error) {
      throw this.#asError(error)
    }
  }

  /** Method and path of what was sent last; the query is left out, it may hold the token. */
  get target (): string {
    if (this.#sent === undefined) return ''
    const { method, url: { pathname } } = this.#sent
    return printable(`${method} ${this.#redacted(pathname)}`)
  }

  #redacted (text: string): string {
    return this.secret === undefined || this.secret === '' ? text : text.replaceAll(this.secret, '[redacted]')
  }

  get #limit (): number { return this.#options?.maxResponseSize ?? MAX_RESPONSE_SIZE }

  /**
   * @param transmit hands the request to undici
   * @param free reads a refused response, so that its connection is free, and returns what gives it to the caller
   */
  async #send<T extends ResponseData | BufferedResponse> (
    transmit: (request: TransportRequest) => Promise<T>, free: (refused: T) => (() => T) | Promise<() => T>
  ): Promise<T> {
    const { body, signal, withholdToken } = this.#options ?? NO_OPTIONS
    try {
      signal?.throwIfAborted?.()
      const config = this.#client.config()
      this.provider = config.name
      const preparing = this.#prepare(config)
      const { request, replayable } = preparing instanceof Promise ? await preparing : preparing
      const source = withholdToken === true ? NO_TOKEN_SOURCE : this.#client.source()

      const current = source.current(replayable)
      let snapshot = current instanceof Promise ? await unlessAborted(current, signal) : current
      for (let sends = 1; ; sends++) {
        const response = await this.#transmit(request, snapshot, config, transmit)
        if (response.statusCode !== 401) {
          source.accepted(snapshot)
          return response
        }
        if (!replayable || sends === MAX_SENDS || isInsufficientScope(response.headers)) return response

        // The token was revoked, it expired earlier than it said, or it was replaced while the call was on its way.
        const giveBack = await free(response)
        this.#isSent = false
        const newer = await unlessAborted(source.renew(snapshot), signal)
        if (newer === undefined) return giveBack()
        snapshot = newer
      }
    } catch (error) {
      discardBody(body)
      throw this.#asError(error)
    }
  }

  #prepare (config: ProviderConfig): Prepared | Promise<Prepared> {
    const options = this.#options
    if (options === undefined) {
      return {
        request: { url: resolveResourceUrl(this.#url, config), method: this.#method ?? 'GET', headers: {} },
        replayable: true
      }
    }
    checkCallOptions(options, this.#method, config.name)
    const { json, body, headers, method, signal, query, withholdToken, maxResponseSize: _ours, ...rest } = options
    const url = withholdToken === true ? resolveUrl(this.#url, config) : resolveResourceUrl(this.#url, config)
    if (query !== undefined && query !== null) {
      url.search = appendQuery(url.search, setParameters(new URLSearchParams(), query as RequestParameters))
    }
    const finish = (prepared: PreparedBody): Prepared => ({
      request: {
        url,
        method: this.#method ?? method?.toUpperCase() ?? 'GET',
        headers: headersOf(headers, prepared, withholdToken),
        body: prepared.body,
        signal: signal ?? undefined,
        options: rest
      },
      replayable: prepared.replayable
    })
    const preparing = prepareBody(body, json)
    return preparing instanceof Promise ? preparing.then(finish) : finish(preparing)
  }

  #transmit<T>(
    request: TransportRequest, { tokens }: TokenSnapshot, config: ProviderConfig,
    transmit: (request: TransportRequest) => Promise<T>
  ): Promise<T> {
    // A hook may add a secret header that is meant for the servers that get the token.
    if (tokens === NO_TOKENS) return this.#handOver(request, tokens, transmit)
    const { protectedRequest } = combineHooks(config.hooks, this.#client.hooks)
    const placed = placeToken(request, tokens, config)
    if (protectedRequest === undefined) return this.#handOver(placed, tokens, transmit)
    return this.#runHook(protectedRequest, placed, config).then(changed => this.#handOver(changed, tokens, transmit))
  }

  #handOver<T>(
    request: TransportRequest, { accessToken }: TokenSet, transmit: (request: TransportRequest) => Promise<T>
  ): Promise<T> {
    this.secret = accessToken
    this.#sent = request
    this.#isSent = true
    return transmit(request)
  }

  // The hook may change the URL: it is checked again.
  async #runHook (
    hook: NonNullable<ProviderHooks['protectedRequest']>, request: TransportRequest, config: ProviderConfig
  ): Promise<TransportRequest> {
    const { url, method, headers, body } = request
    const hooked = { url: new URL(url), method, headers: { ...headers }, body: body as unknown }
    await hook(hooked)
    if (hooked.body !== body) {
      const { body: changed, contentType } = await prepareBody(hooked.body as CallBody, undefined)
      hooked.body = changed
      if (contentType !== undefined) hooked.headers['content-type'] ??= contentType
    }
    assertResourceUrl(hooked.url, config)
    return { ...request, ...hooked, body: hooked.body as TransportRequest['body'] }
  }

  /** The error for the caller: the signal's reason where it has ended the call, else a typed one without any secret. */
  #asError (error: unknown): unknown {
    const { provider } = this
    const { signal, body } = this.#options ?? NO_OPTIONS
    if (signal?.aborted === true) return signal.reason
    if (error instanceof InvalidResponseError && error.provider === undefined) {
      return new InvalidResponseError(
        `an API of provider "${provider}" cannot be read (${this.target}): ${error.message}`,
        { provider, reason: error.reason }
      )
    }
    if (
      error instanceof OAuthError ||
      !this.#isSent ||
      error === (body as { errored?: unknown } | undefined)?.errored
    ) { return error }

    const { name, code = '', message: told } = error as Error & { code?: string }
    const message = this.#redacted(told) // a mock's error shows the whole request
    if (INVALID_CALL_CODES.includes(code)) {
      return new InvalidOptionsError(
        `a call to an API of provider "${provider}" cannot be sent (${this.target}): ${message}`,
        { provider }
      )
    }
    return new ApiUnavailableError(`an API of provider "${provider}" cannot be reached (${this.target})`, {
      provider, reason: code.endsWith('_TIMEOUT') ? 'timeout' : 'no_answer', cause: { name, code, message }
    })
  }
}

interface Prepared {
  request: TransportRequest
  replayable: boolean
}

const NO_OPTIONS: CallOptions = {}
/** undici's codes for options and headers that make no request. */
const INVALID_CALL_CODES = ['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH']

const NO_TOKENS = { accessToken: '', tokenType: '', scope: [], raw: {} }
const NO_TOKEN_SOURCE: TokenSource = {
  current: () => ({ tokens: NO_TOKENS, version: 0 }),
  renew: async () => undefined,
  accepted: () => {}
}

function headersOf (
  headers: CallHeaders, { contentType }: PreparedBody, withheld: boolean | undefined
): TransportRequest['headers'] {
  const copy = copyHeaders(headers, withheld)
  if (contentType !== undefined) copy['content-type'] ??= contentType
  return copy
}

// A newer token would not help: the user has not granted that scope (RFC 6750, section 3.1).
function isInsufficientScope (headers: Record<string, string | string[] | undefined>): boolean {
  return String(headers['www-authenticate'] ?? '').includes('insufficient_scope')
}

/** Stops waiting when the signal is aborted; the work goes on. */
async function unlessAborted<T> (work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (signal === undefined || signal === null) return await work
  let stop = () => {}
  const aborted = new Promise<void>((resolve) => { stop = resolve })
  signal.addEventListener('abort', stop)
  try {
    const done = await Promise.race([work, aborted])
    signal.throwIfAborted()
    return done as T
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
