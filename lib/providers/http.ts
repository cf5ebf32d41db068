import { InvalidResponseError, InvalidTokenResponseError, OAuthError, ProviderUnavailableError } from '../errors.ts'
import { targetOf, type Transport } from '../http/transport.ts'
import { excerptOf, type HttpResponse } from '../oauth/token-response.ts'
import type { Clock } from '../util/clock.ts'
import { scrub } from '../util/redact.ts'
import type { ProviderConfig } from './config.ts'

/** Bytes that a response of a provider may have. */
const MAX_RESPONSE_SIZE = 1024 * 1024

export interface ProviderRequest {
  url: URL
  method: string
  headers: Record<string, string>
  body?: string
  /** Called when a connection is ready and the request is about to be written; throwing keeps it from being sent. */
  beforeSend?: (() => void) | undefined
}

/** Requests to one provider: limited in time and size, with typed errors. */
export class ProviderHttp {
  readonly #config: ProviderConfig
  readonly #transport: Transport
  readonly #clock: Clock

  constructor (config: ProviderConfig, transport: Transport, clock: Clock) {
    this.#config = config
    this.#transport = transport
    this.#clock = clock
  }

  /**
   * Sends a request and reads the whole response, whatever its status.
   * @param timeoutMs milliseconds for the whole exchange
   * @throws FST_OAUTH_PROVIDER_UNAVAILABLE if no complete response came, FST_OAUTH_INVALID_TOKEN_RESPONSE if it
   *   is too large or cannot be decompressed
   */
  async send (request: ProviderRequest, timeoutMs = this.#config.requestTimeout): Promise<HttpResponse> {
    try {
      const reading = { limit: MAX_RESPONSE_SIZE, timeoutMs, pool: 'provider' } as const
      const { url, method, headers, body, beforeSend } = request
      const { origin, path } = targetOf(url)
      const sent = { origin, path, method, headers, body, beforeSend }
      const answer = await this.#transport.buffered(sent, reading)
      return {
        status: answer.statusCode,
        // Parsed when they are asked for: most responses are read without them.
        get headers () { return answer.headers },
        text: answer.body.toString('utf8')
      }
    } catch (cause) {
      if (cause instanceof InvalidResponseError && (cause.reason === 'too_large' || cause.reason === 'encoding')) {
        throw new InvalidTokenResponseError(
          `an answer of provider "${this.#config.name}" cannot be used: ${cause.message}`,
          { provider: this.#config.name, reason: cause.reason }
        )
      }
      if (cause instanceof OAuthError && cause.reason !== 'timeout') throw cause
      const refused = this.#refusedCertificate(cause as NodeJS.ErrnoException)
      if (refused !== undefined) throw refused
      const { name, usesCertificate } = this.#config
      const perhaps = usesCertificate ? "; or does it not accept the client's TLS certificate?" : ''
      throw new ProviderUnavailableError(`provider "${name}" cannot be reached; try again later${perhaps}`, {
        provider: name,
        reason: 'no_answer',
        cause: withoutRequest(cause as Error, request)
      })
    }
  }

  // A server that ends the handshake sends an alert (RFC 8446, section 6.2), or closes the connection.
  #refusedCertificate ({ name, code = '', message }: NodeJS.ErrnoException): OAuthError | undefined {
    const { name: provider, usesCertificate, clientCertificate } = this.#config
    if (!usesCertificate) return undefined
    const isAlert = /^ERR_SSL_.*ALERT/.test(code)
    const isClosed = code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET'
    const expired = clientCertificate !== undefined && clientCertificate.expiresAt < this.#clock.now()
    if (!isAlert && !(isClosed && expired)) return undefined
    const why = expired ? `: it expired on ${new Date(clientCertificate.expiresAt * 1000).toISOString()}` : ''
    return new ProviderUnavailableError(
      `provider "${provider}" does not accept the client's TLS certificate${why}; check clientCertificate`,
      { provider, reason: 'client_certificate', cause: { name, code, message } }
    )
  }

  /** The error for a response with which the provider says that it is not available. */
  unavailable (answer: HttpResponse, secrets?: readonly string[], said?: OAuthError): OAuthError {
    return new ProviderUnavailableError(
      `provider "${this.#config.name}" is not available now (it answered ${answer.status}); try again later`,
      {
        provider: this.#config.name,
        responseStatus: answer.status,
        excerpt: excerptOf(answer.text, secrets),
        oauthError: said?.oauthError,
        oauthErrorDescription: said?.oauthErrorDescription,
        oauthErrorUri: said?.oauthErrorUri,
        retryAfter: retryAfterOf(answer, this.#clock.now())
      }
    )
  }
}

// A mock's error shows the whole request.
function withoutRequest ({ name, code, message }: Error & { code?: string }, { url, headers, body }: ProviderRequest) {
  const sent = [
    ...url.searchParams.values(),
    ...new URLSearchParams(body).values(),
    ...(headers.authorization?.split(' ') ?? []),
    ...(headers.dpop === undefined ? [] : [headers.dpop])
  ]
  return { name, code, message: scrub(message, sent) }
}

/** Whether a response says that the provider is not available now, and not that it refuses. */
export function isUnavailable (answer: HttpResponse, error?: OAuthError): boolean {
  if (error?.oauthError === 'temporarily_unavailable') return true
  return answer.status >= 500 || answer.status === 429 || answer.status === 408
}

function retryAfterOf (answer: HttpResponse, now: number): number | undefined {
  const value = answer.headers['retry-after']
  if (typeof value !== 'string') return undefined
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil(Date.parse(value) / 1000 - now)
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 86_400) : undefined
}
