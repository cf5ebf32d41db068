import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { ApiUnavailableError, InvalidOptionsError, OAuthError } from '../errors.ts'
import type { ProviderConfig } from '../options.ts'
import type { TokenSet } from '../protocol/token-set.ts'
import { appendQuery, setParameters, type Parameters } from '../protocol/urls.ts'
import type { ProviderHooks } from '../providers/types.ts'
import { OAuthCall } from './oauth-call.ts'
import { copyHeaders, prepareBody, type CallBody, type CallHeaders, type PreparedBody } from './request-body.ts'
import { assertResourceUrl, assertTransport, resolveResourceUrl, resolveUrl } from './resource-url.ts'
import { placeToken } from './token-placement.ts'
import type { Grant, TokenSource } from './token-source.ts'
import type { BufferedAnswer, ResponseData, Transport, TransportRequest } from './transport.ts'

/** Options of one call: undici's, plus `json`. */
export interface CallOptions extends Omit<Partial<Dispatcher.RequestOptions>, 'origin' | 'path' | 'body' | 'headers' | 'method' | 'signal' | 'upgrade' | 'query'> {
  method?: string
  /** A value that is sent as JSON. */
  json?: unknown
  body?: CallBody
  headers?: CallHeaders
  signal?: AbortSignal | null
  /** Parameters that are added to the URL's query. */
  query?: Record<string, unknown>
  /** Sends the call without the token, wherever it goes. */
  withholdToken?: boolean
  /** Bytes that `.json()`, `.text()` and `.bytes()` read at most. Default 16 MiB. */
  maxResponseSize?: number
}

const MAX_RESPONSE_SIZE = 16 * 1024 * 1024
// They would take the call somewhere else, or send it by another way than the one that has been checked.
const REFUSED_OPTIONS = ['origin', 'path', 'dispatcher', 'upgrade', 'maxRedirections']

/** An HTTP client that is authorized as one account: checks where each call goes, adds the token, retries once after a 401. */
export class AuthorizedClient {
  readonly #config: ProviderConfig
  readonly #transport: Transport
  readonly #source: () => TokenSource
  readonly #hooks: ProviderHooks

  /** @param source asked at each call; may throw FST_OAUTH_LOGIN_REQUIRED */
  constructor (config: ProviderConfig, transport: Transport, source: () => TokenSource, hooks: ProviderHooks = config.hooks) {
    this.#config = config
    this.#transport = transport
    this.#source = source
    this.#hooks = hooks
  }

  /**
   * Sends a call.
   * @param url relative to the first resource server, or absolute below any of them
   */
  call (method: string | undefined, url: string | URL, options?: CallOptions): OAuthCall {
    return new OAuthCall({
      provider: this.#config.name,
      stream: () => this.#send(method, url, options, request => this.#transport.stream(request), drainStream),
      buffered: () => this.#send(method, url, options, (request) => {
        request.headers.accept ??= 'application/json'
        return this.#transport.buffered(request, { limit: options?.maxResponseSize ?? MAX_RESPONSE_SIZE, line: 'api' })
      }, drained)
    })
  }

  async #send<T extends ResponseData | BufferedAnswer> (
    method: string | undefined, input: string | URL, options: CallOptions | undefined,
    transmit: (request: TransportRequest) => Promise<T>, drain: (answer: T) => Promise<void>
  ): Promise<T> {
    const { json, body, headers, method: chosen, signal, query, withholdToken, maxResponseSize: _own, ...rest } = options ?? NO_OPTIONS
    const url = withholdToken === true ? resolveUrl(input, this.#config) : resolveResourceUrl(input, this.#config)
    if (query !== undefined) url.search = appendQuery(url.search, setParameters(new URLSearchParams(), query as Parameters))
    for (const name of REFUSED_OPTIONS) {
      if (name in rest) throw new InvalidOptionsError(`a call cannot have the option "${name}": where it goes is checked by its URL`, { provider: this.#config.name })
    }
    const preparing = prepareBody(body, json)
    const prepared = preparing instanceof Promise ? await preparing : preparing
    const source = withholdToken === true ? NOBODY : this.#source()
    const request: TransportRequest = { url, method: method ?? chosen?.toUpperCase() ?? 'GET', headers: requestHeaders(headers, prepared), body: prepared.body, signal: signal ?? undefined, options: rest }

    const granted = source.current(prepared.replayable)
    const grant = granted instanceof Promise ? await granted : granted
    const answer = await this.#transmit(request, grant, transmit)
    if (answer.statusCode !== 401) {
      source.accepted(grant)
      return answer
    }
    if (!prepared.replayable || isInsufficientScope(answer.headers)) return answer
    return await this.#retry(request, grant, source, answer, transmit, drain)
  }

  // The token may have been revoked, or its end misjudged: one newer token, one more try, and no other.
  async #retry<T extends ResponseData | BufferedAnswer> (
    request: TransportRequest, refused: Grant, source: TokenSource, answer: T,
    transmit: (request: TransportRequest) => Promise<T>, drain: (answer: T) => Promise<void>
  ): Promise<T> {
    let grant: Grant | undefined
    try {
      grant = await source.renew(refused)
    } catch (error) {
      await drain(answer)
      throw error
    }
    if (grant === undefined) return answer
    await drain(answer)
    const second = await this.#transmit(request, grant, transmit)
    if (second.statusCode !== 401) source.accepted(grant)
    return second
  }

  async #transmit<T> (request: TransportRequest, { tokens }: Grant, transmit: (request: TransportRequest) => Promise<T>): Promise<T> {
    let placed = tokens === NO_TOKENS ? request : placeToken(request, tokens, this.#config)
    if (this.#hooks.protectedRequest !== undefined) placed = await this.#hooked(placed, tokens)
    try {
      return await transmit(placed)
    } catch (cause) {
      if (cause instanceof OAuthError || request.signal?.aborted === true) throw cause
      throw new ApiUnavailableError(`an API of provider "${this.#config.name}" cannot be reached`, { provider: this.#config.name, reason: 'no_answer', cause })
    }
  }

  // What the hook makes of the URL is checked like what the handler passed.
  async #hooked (request: TransportRequest, tokens: TokenSet): Promise<TransportRequest> {
    const { url, method, headers, body } = request
    const hooked = { url: new URL(url), method, headers: { ...headers }, body: body as unknown }
    await this.#hooks.protectedRequest!(hooked)
    if (tokens === NO_TOKENS) assertTransport(hooked.url, this.#config)
    else assertResourceUrl(hooked.url, this.#config)
    return { ...request, ...hooked, body: hooked.body as TransportRequest['body'] }
  }
}

const NO_OPTIONS: CallOptions = {}

// A call that is to go out without a token has nothing to refresh.
const NO_TOKENS = { accessToken: '', tokenType: '', scope: [], raw: {} }
const NOBODY: TokenSource = {
  current: () => ({ tokens: NO_TOKENS, version: 0 }),
  renew: async () => undefined,
  accepted: () => {}
}

function requestHeaders (headers: CallHeaders, { contentType }: PreparedBody): TransportRequest['headers'] {
  const copy = copyHeaders(headers)
  if (contentType !== undefined) copy['content-type'] ??= contentType
  return copy
}

// More of the same token would not help: the user has not been asked for that scope (RFC 6750, section 3.1).
export function isInsufficientScope (headers: Record<string, string | string[] | undefined>): boolean {
  return String(headers['www-authenticate'] ?? '').includes('insufficient_scope')
}

async function drainStream (answer: ResponseData): Promise<void> {
  const { body } = answer
  if (body instanceof Readable) await body.dump({ limit: 128 * 1024 }).catch(() => {})
}

async function drained (): Promise<void> {}
