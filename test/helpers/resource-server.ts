import { hash } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { TLSSocket, type TlsOptions } from 'node:tls'
import type { Provider, Token } from '../../lib/testing/oidc-types.ts'
import { DpopVerifier } from './dpop-verifier.ts'
import { Gate } from './gate.ts'
import { listen } from './listen.ts'

export interface ApiRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly authorization: string | undefined
  readonly body: string
  /** The thumbprint of the client's TLS certificate. */
  readonly certificate?: string | undefined
  /** What it was answered with; undefined until then. */
  status?: number
}

export interface ApiCall extends ApiRequest {
  readonly path: string
  readonly query: URLSearchParams
  readonly token: Token
  /** For a route that answers by itself, and then returns nothing. */
  readonly response: ServerResponse
}

export interface ApiAnswer {
  /** Default 200. */
  readonly status?: number
  readonly headers?: Record<string, string>
  /** A Buffer is sent as it is, anything else as JSON. */
  readonly body?: unknown
}

export type ApiRoute = (call: ApiCall) => ApiAnswer | undefined | Promise<ApiAnswer | undefined>

const orders = [{ id: 1, item: 'tea' }, { id: 2, item: 'cake' }]

/** An API that takes the provider's access tokens, and nothing else. */
export class ResourceServer {
  /** Ends with `/v1/`: a base for relative URLs. */
  readonly url: string
  /** Every request in order, refused ones too. */
  readonly requests: ApiRequest[] = []
  /** Checks the proofs of tokens that are bound to a key. */
  readonly dpop = new DpopVerifier()
  readonly close: () => Promise<void>
  #slow = new Gate<ApiRequest>()
  #provider: Pick<Provider, 'AccessToken' | 'ClientCredentials'> | undefined

  /** Method (`*` for any) and first segment below /v1/ → what answers. A test may add its own. */
  readonly routes: Record<string, ApiRoute> = {
    'GET orders': () => ({ body: orders }),
    'POST orders': (call) => ({ status: 201, body: echo(call) }),
    // A scope that a token has only if it was asked for.
    'DELETE orders': ({ token }) =>
      token.scopes.has('orders:write') ? { status: 204 } : refusal(403, 'insufficient_scope'),
    'GET me': ({ token }) => ({ body: { sub: token.accountId, scope: [...token.scopes].join(' ') } }),
    '* echo': (call) => ({ body: echo(call) }),
    'GET slow': async (call) => {
      await this.#slow.pass(call)
      return { body: { slow: true } }
    },
    // status/429
    '* status': ({ path }) => {
      const status = Number(path.split('/').at(-1))
      return status === 401 ? refusal(401, 'invalid_token') : { status, body: { status } }
    },
    // redirect?to=URL&status=307
    '* redirect': ({ query }) => ({
      status: Number(query.get('status') ?? 302),
      headers: { location: query.get('to') ?? '' },
    }),
  }

  constructor (origin: string, close: () => Promise<void>) {
    this.url = `${origin}/v1/`
    this.close = close
    this.#slow.release()
  }

  /** Whose tokens are good. */
  trust (provider: Pick<Provider, 'AccessToken' | 'ClientCredentials'>): void {
    this.#provider = provider
  }

  /** The gate at which `GET slow` waits from now on. */
  holdSlow (): Gate<ApiRequest> {
    this.#slow = new Gate()
    return this.#slow
  }

  async handle (message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = message
    const { authorization } = headers
    const request: ApiRequest = { method, url, headers, authorization, body: '', certificate: thumbprint(message) }
    this.requests.push(request)
    Object.assign(request, { body: await text(message) })
    const answer = await this.#answer(request, response)
    if (answer === undefined) return

    request.status = answer.status ?? 200
    response.writeHead(request.status, {
      'content-type': 'application/json',
      ...(this.dpop.nonce !== undefined && { 'dpop-nonce': this.dpop.nonce }),
      ...answer.headers
    })
    response.end(answer.body instanceof Buffer || answer.body === undefined ? answer.body : JSON.stringify(answer.body))
  }

  async #answer (request: ApiRequest, response: ServerResponse): Promise<ApiAnswer | undefined> {
    const { pathname: path, searchParams: query } = new URL(request.url, this.url)
    const bound = /^DPoP (\S+)$/i.exec(request.authorization ?? '')?.[1]
    const credentials = bound ?? bearerToken(request, query)
    if (credentials === undefined) return refusal(401)

    const token =
      (await this.#provider?.AccessToken.find(credentials)) ??
      (await this.#provider?.ClientCredentials.find(credentials))
    if (token === undefined) return refusal(401, 'invalid_token', bound === undefined ? 'Bearer' : 'DPoP')
    // A bound token is not taken as a bearer token, nor the other way around (RFC 9449, section 7.2).
    if ((token.jkt === undefined) !== (bound === undefined)) return refusal(401, 'invalid_token')
    if (token.jkt !== undefined) {
      const { method, headers: { dpop: proof } } = request
      const url = new URL(this.url).origin + path
      const error = await this.dpop.refuses({ proof, method, url, accessToken: credentials, jkt: token.jkt })
      if (error !== undefined) return refusal(401, error, 'DPoP')
    }
    // A token that is bound to a certificate comes with it (RFC 8705, section 3).
    const { 'x5t#S256': certificate } = token
    if (certificate !== undefined && certificate !== request.certificate) return refusal(401, 'invalid_token')

    const [, base, resource] = path.split('/')
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const route = base === 'v1' ? (this.routes[`${method} ${resource}`] ?? this.routes[`* ${resource}`]) : undefined
    return route === undefined
      ? { status: 404, body: { error: 'not_found' } }
      : route({ ...request, path, query, token, response })
  }
}

export async function startResourceServer (tls?: TlsOptions): Promise<ResourceServer> {
  // Clients are asked for a certificate, and need none.
  const { server, port, close } =
    await listen(undefined, tls && { ...tls, requestCert: true, rejectUnauthorized: false })
  const api = new ResourceServer(`${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, close)
  server.on('request', (request, response) => {
    // A client that goes away in the middle of its body is no matter of the server's.
    api.handle(request, response).catch((error: Error) => response.destroy(error))
  })
  return api
}

function echo ({ method, url, headers, body }: ApiRequest) {
  return { method, url, headers, body }
}

function thumbprint ({ socket }: IncomingMessage): string | undefined {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  return certificate === undefined ? undefined : hash('sha256', certificate.raw, 'base64url')
}

/** The three places where RFC 6750, section 2, lets a token be. */
function bearerToken ({ authorization, headers, body }: ApiRequest, query: URLSearchParams): string | undefined {
  const inHeader = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1]
  const isForm = headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true
  const inBody = isForm ? new URLSearchParams(body).get('access_token') : null
  return inHeader ?? query.get('access_token') ?? inBody ?? undefined
}

/** RFC 6750, section 3: no error code where there were no credentials at all. */
function refusal (status: number, error?: string, scheme = 'Bearer') {
  const parameters = error === undefined ? 'realm="api"' : `error="${error}"`
  return { status, headers: { 'www-authenticate': `${scheme} ${parameters}` }, body: { error } }
}
