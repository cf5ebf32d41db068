import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { ApiUnavailableError, InvalidOptionsError, OAuthError, UnsupportedTokenTypeError } from '../errors.ts'
import type { ProviderConfig } from '../options.ts'
import type { TokenSet } from '../protocol/token-set.ts'
import { OAuthCall } from './oauth-call.ts'
import { copyHeaders, prepareBody, type CallBody, type CallHeaders, type PreparedBody } from './request-body.ts'
import { resolveResourceUrl } from './resource-url.ts'
import type { Grant, TokenSource } from './token-source.ts'
import type { BufferedAnswer, ResponseData, Transport, TransportRequest } from './transport.ts'

/** Options of one call: undici's, plus `json`. */
export interface CallOptions extends Omit<Partial<Dispatcher.RequestOptions>, 'origin' | 'path' | 'body' | 'headers' | 'method' | 'signal' | 'upgrade'> {
  method?: string
  /** A value that is sent as JSON. */
  json?: unknown
  body?: CallBody
  headers?: CallHeaders
  signal?: AbortSignal | null
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

  /** @param source asked at each call; may throw FST_OAUTH_LOGIN_REQUIRED */
  constructor (config: ProviderConfig, transport: Transport, source: () => TokenSource) {
    this.#config = config
    this.#transport = transport
    this.#source = source
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
    const url = resolveResourceUrl(input, this.#config)
    const { json, body, headers, method: chosen, signal, maxResponseSize: _own, ...rest } = options ?? NO_OPTIONS
    for (const name of REFUSED_OPTIONS) {
      if (name in rest) throw new InvalidOptionsError(`a call cannot have the option "${name}": where it goes is checked by its URL`, { provider: this.#config.name })
    }
    const preparing = prepareBody(body, json)
    const prepared = preparing instanceof Promise ? await preparing : preparing
    const source = this.#source()
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
    request.headers.authorization = authorizationOf(tokens, this.#config.name)
    try {
      return await transmit(request)
    } catch (cause) {
      if (cause instanceof OAuthError || request.signal?.aborted === true) throw cause
      throw new ApiUnavailableError(`an API of provider "${this.#config.name}" cannot be reached`, { provider: this.#config.name, reason: 'no_answer', cause })
    }
  }
}

const NO_OPTIONS: CallOptions = {}

/** The value of the Authorization header (RFC 6750, section 2.1). @throws FST_OAUTH_UNSUPPORTED_TOKEN_TYPE */
export function authorizationOf ({ accessToken, tokenType }: TokenSet, provider: string): string {
  if (tokenType !== 'Bearer' && tokenType.toLowerCase() !== 'bearer') {
    throw new UnsupportedTokenTypeError(`provider "${provider}" issued a token of type "${tokenType.slice(0, 40)}", which cannot be sent as a bearer token`, { provider })
  }
  return `Bearer ${accessToken}`
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
