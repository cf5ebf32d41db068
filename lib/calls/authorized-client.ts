import { ApiUnavailableError, InvalidOptionsError, InvalidResponseError, OAuthError } from '../errors.ts'
import { asResponseData, type BufferedResponse, readWhole, type ResponseData } from '../http/response.ts'
import { targetOf, type Transport, type TransportRequest } from '../http/transport.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import { appendQuery, type RequestParameters, setParameters } from '../oauth/urls.ts'
import type { ProviderConfig } from '../providers/config.ts'
import type { DpopProofs } from '../providers/dpop.ts'
import type { ProviderHooks } from '../providers/options.ts'
import { combineHooks } from '../providers/presets/hooks.ts'
import type { TokenSnapshot, TokenSource } from '../tokens/token-source.ts'
import { isNonEmptyText } from '../util/is-text.ts'
import { printable } from '../util/redact.ts'
import { type CallTrace, channels, traced } from '../util/tracing.ts'
import { type CallOptions, checkCallOptions } from './call-options.ts'
import { type CallSender, OAuthCall } from './call.ts'
import {
  type CallBody, type CallHeaders, copyHeaders, discardBody, isOfBody, prepareBody, type PreparedBody
} from './request-body.ts'
import { assertResourceUrl, resolveResourceUrl, resolveUrl } from './resource-url.ts'
import { MAX_SENDS } from './retry.ts'
import { placeBoundToken, placeToken } from './token-placement.ts'

const MAX_RESPONSE_SIZE = 16 * 1024 * 1024

/** Whose calls they are. */
export interface CallAccount {
  /** `transport`: the provider's own, with the client's certificate if there is one. */
  provider: { readonly config: ProviderConfig, readonly transport: Transport, dpop (): Promise<DpopProofs> }
  tokens: TokenSource
}

export const kAccount = Symbol('fastify-oauth-session.account')

/** Says whose calls they are. */
export interface AccountHolder {
  /** The account as of now; called once for each call. @throws FST_OAUTH_LOGIN_REQUIRED */
  [kAccount] (): CallAccount
}

/**
 * An HTTP client that is authorized as one account: checks the URL of each call, adds the token, and sends the call
 * again with a newer token after a 401.
 */
export class AuthorizedClient {
  readonly holder: AccountHolder
  readonly transport: Transport
  /** Run after the provider's own. */
  readonly hooks: ProviderHooks | undefined

  constructor (holder: AccountHolder, transport: Transport, hooks?: ProviderHooks) {
    this.holder = holder
    this.transport = transport
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
    return new OAuthCall(new AuthorizedCall(this, method, url, options ?? NO_OPTIONS))
  }
}

/** How the response of a call is read. */
interface Reading<T> {
  send (transport: Transport, request: TransportRequest, limit: number): Promise<T>
  /** Frees the connection of a response that may not be the last one. */
  free (response: T, limit: number): Promise<T>
}

const AS_STREAM: Reading<ResponseData> = {
  send: (transport, request) => transport.stream(request),
  // Until it is read it holds its connection, perhaps the only one.
  free: async (response, limit) => asResponseData(await readWhole(response, limit))
}

const WHOLE: Reading<BufferedResponse> = {
  send: (transport, request, limit) => transport.buffered(request, { limit, pool: 'api' }),
  free: async response => response
}

/** One call, sent as a stream or read whole; again after a 401. */
class AuthorizedCall implements CallSender {
  readonly #client: AuthorizedClient
  readonly #method: string | undefined
  readonly #url: string | URL
  readonly #options: CallOptions
  /** Whether it can be sent again after a 401. */
  #replayable = true
  /** Whether undici has the request: what fails then is the transport, not a hook or an option. */
  #isSent = false
  #sent: TransportRequest | undefined
  provider = ''
  secret: string | undefined

  constructor (client: AuthorizedClient, method: string | undefined, url: string | URL, options: CallOptions) {
    this.#client = client
    this.#method = method
    this.#url = url
    this.#options = options
  }

  stream (): Promise<ResponseData> {
    return channels.call.hasSubscribers ? this.#traced(AS_STREAM) : this.#send(AS_STREAM)
  }

  buffered (accept?: string): Promise<BufferedResponse> {
    return channels.call.hasSubscribers ? this.#traced(WHOLE, accept) : this.#send(WHOLE, accept)
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
    const { method, path } = this.#sent
    return printable(`${method} ${this.#redacted(path.split('?', 1)[0]!)}`)
  }

  #redacted (text: string): string {
    const secrets = [this.secret, this.#sent?.headers.dpop]
    return secrets.filter(isNonEmptyText).reduce((told, secret) => told.replaceAll(secret, '[redacted]'), text)
  }

  #traced<T extends ResponseData | BufferedResponse> (reading: Reading<T>, accept?: string): Promise<T> {
    const { method, signal } = this.#options
    const trace: CallTrace = { method: this.#method ?? method?.toUpperCase?.() ?? 'GET' }
    return traced(channels.call, trace, 'answered', async () => {
      try {
        const response = await this.#send(reading, accept)
        trace.statusCode = response.statusCode
        return response
      } catch (error) {
        if (signal?.aborted === true) trace.outcome = 'aborted'
        throw error
      } finally {
        if (this.provider !== '') trace.provider = this.provider
        if (this.#sent !== undefined) trace.origin = this.#sent.origin
      }
    })
  }

  get #limit (): number { return this.#options.maxResponseSize ?? MAX_RESPONSE_SIZE }

  // Up to the first response, nothing is awaited that is there already: undici has the request at once.
  async #send<T extends ResponseData | BufferedResponse> (reading: Reading<T>, accept?: string): Promise<T> {
    const { body, signal, withholdToken } = this.#options
    try {
      signal?.throwIfAborted?.()
      const account = this.#client.holder[kAccount]()
      const { config, transport: own } = account.provider
      const transport = config.certificateBound ? own : this.#client.transport
      this.provider = config.name
      const preparing = this.#prepare(config)
      const request = preparing instanceof Promise ? await preparing : preparing
      if (accept !== undefined) request.headers.accept ??= accept

      const source = withholdToken === true ? NO_TOKEN_SOURCE : account.tokens
      const current = source.current(this.#replayable)
      let snapshot = current instanceof Promise ? await unlessAborted(current, signal) : current
      for (let sends = 1; ; sends++) {
        const placing = this.#place(request, snapshot, config)
        this.#sent = placing instanceof Promise ? await placing : placing
        this.secret = snapshot.tokens.accessToken
        this.#isSent = true
        const { dpopKey } = snapshot
        const response = dpopKey === undefined
          ? await reading.send(transport, this.#sent, this.#limit)
          : await this.#sendWithProof(reading, transport, await account.provider.dpop(), dpopKey)
        if (response.statusCode !== 401) {
          source.accepted(snapshot)
          return response
        }
        if (!this.#replayable || sends === MAX_SENDS || isNotTheToken(response.headers)) return response

        // The token was revoked, it expired earlier than it said, or it was replaced while the call was on its way.
        const refused = await reading.free(response, this.#limit)
        this.#isSent = false
        const newer = await unlessAborted(source.renew(snapshot), signal)
        if (newer === undefined) return refused
        snapshot = newer
      }
    } catch (error) {
      discardBody(body)
      throw this.#asError(error)
    }
  }

  /** Sends the request with a proof that this client has the key of its token, made for this one request. */
  async #sendWithProof<T extends ResponseData | BufferedResponse> (
    reading: Reading<T>, transport: Transport, proofs: DpopProofs, key: DpopKey
  ): Promise<T> {
    const sent = this.#sent!
    const { origin, path, method, headers } = sent
    const proven = { method, url: origin + path.split('?', 1)[0]!, accessToken: this.secret }
    const send = async (proof: string) => {
      headers.dpop = proof
      this.#isSent = true
      return await reading.send(transport, sent, this.#limit)
    }
    this.#isSent = false
    return await proofs.sendToResource(key, proven, send, async (response) => {
      await reading.free(response, this.#limit)
      if (!this.#replayable) throw this.#cannotRepeat()
      this.#isSent = false
    })
  }

  #cannotRepeat (): OAuthError {
    const { provider } = this
    const message = `an API of provider "${provider}" asked for a DPoP nonce (${this.target}), and the body of the ` +
      'call is a stream that cannot be sent again; the nonce is known now: make the call once more'
    return new ApiUnavailableError(message, { provider, reason: 'dpop_nonce', responseStatus: 401 })
  }

  #prepare (config: ProviderConfig): TransportRequest | Promise<TransportRequest> {
    const options = this.#options
    if (options === NO_OPTIONS) {
      const { origin, path } = resolveResourceUrl(this.#url, config)
      return { origin, path, method: this.#method ?? 'GET', headers: {} }
    }
    checkCallOptions(options, this.#method, config.name)
    const { json, body, headers, method, signal, query, withholdToken, maxResponseSize: _ours, ...rest } = options
    const { origin, path } = withholdToken === true
      ? targetOf(resolveUrl(this.#url, config))
      : resolveResourceUrl(this.#url, config)
    const hasQuery = query !== undefined && query !== null
    const finish = (prepared: PreparedBody): TransportRequest => {
      this.#replayable = prepared.replayable
      return {
        origin,
        path: hasQuery ? appendQuery(path, setParameters(new URLSearchParams(), query as RequestParameters)) : path,
        method: this.#method ?? method?.toUpperCase() ?? 'GET',
        headers: headersOf(headers, prepared, withholdToken),
        body: prepared.body,
        signal: signal ?? undefined,
        options: rest
      }
    }
    const preparing = prepareBody(body, json)
    return preparing instanceof Promise ? preparing.then(finish) : finish(preparing)
  }

  /** Puts the token into the request, and runs the hook for it. */
  #place (
    request: TransportRequest, { tokens, dpopKey }: TokenSnapshot, config: ProviderConfig
  ): TransportRequest | Promise<TransportRequest> {
    // A hook may add a secret header that is meant for the servers that get the token.
    if (tokens === NO_TOKENS) return request
    const { protectedRequest } = combineHooks(config.hooks, this.#client.hooks)
    const placed = dpopKey === undefined
      ? placeToken(request, tokens, config)
      : placeBoundToken(request, tokens, config)
    return protectedRequest === undefined ? placed : this.#runHook(protectedRequest, placed, config)
  }

  // The hook may change the URL: it is checked again.
  async #runHook (
    hook: NonNullable<ProviderHooks['protectedRequest']>, request: TransportRequest, config: ProviderConfig
  ): Promise<TransportRequest> {
    const { origin, path, method, headers, body } = request
    const hooked = { url: new URL(origin + path), method, headers: { ...headers }, body: body as unknown }
    await hook(hooked)
    if (hooked.body !== body) {
      const { body: changed, contentType } = await prepareBody(hooked.body as CallBody, undefined)
      hooked.body = changed
      if (contentType !== undefined) hooked.headers['content-type'] ??= contentType
    }
    const { url, ...changed } = hooked
    assertResourceUrl(url, config)
    return { ...request, ...changed, ...targetOf(url), body: hooked.body as TransportRequest['body'] }
  }

  /** The error for the caller: the signal's reason if it has ended the call, else a typed one without any secret. */
  #asError (error: unknown): unknown {
    const { provider } = this
    const { signal } = this.#options
    if (signal?.aborted === true) return signal.reason
    if (error instanceof InvalidResponseError && error.provider === undefined) {
      return new InvalidResponseError(
        `an API of provider "${provider}" cannot be read (${this.target}): ${error.message}`,
        { provider, reason: error.reason }
      )
    }
    if (error instanceof OAuthError || !this.#isSent || isOfBody(error)) return error
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

// A newer token would not help: the user has not granted that scope (RFC 6750, section 3.1), or it is the proof beside
// the token that was not taken (RFC 9449, section 7.1).
function isNotTheToken (headers: Record<string, string | string[] | undefined>): boolean {
  return /\b(?:insufficient_scope|use_dpop_nonce|invalid_dpop_proof)\b/.test(String(headers['www-authenticate'] ?? ''))
}

/** Stops waiting when the signal is aborted; the work itself continues. */
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
