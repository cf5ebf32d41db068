import type * as Undici from 'undici'
import type { Dispatcher } from 'undici'
import { InvalidResponseError } from '../errors.ts'
import type { ClientCertificate } from './client-certificate.ts'
import { NativeCollector, PortableCollector } from './collector.ts'
import type { BufferedResponse, ResponseData } from './response.ts'

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
