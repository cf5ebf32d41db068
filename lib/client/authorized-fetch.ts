import { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { ApiUnavailableError, InvalidOptionsError } from '../errors.ts'
import type { ProviderConfig } from '../options.ts'
import type { AuthorizedClient, CallOptions } from './authorized-client.ts'
import { copyHeaders, prepareBody, type CallBody, type PreparedBody } from './request-body.ts'
import { assertTransport, isResourceUrl } from './resource-url.ts'
import type { ResponseData, Transport } from './transport.ts'

const MAX_REDIRECTS = 20
/** What may follow a redirect to somebody the user's name means nothing to. */
const ANONYMOUS_HEADERS = ['accept', 'accept-language', 'content-type', 'user-agent']

interface FetchRequest {
  url: string | URL
  method: string
  headers: Record<string, string | string[] | undefined>
  body: PreparedBody
  signal: AbortSignal | undefined
  redirect: 'follow' | 'manual' | 'error'
}

/**
 * `fetch` as the current account: the same checks and the same retry as every other call, redirects followed hop by hop.
 * A hop that leaves the resource servers goes on without the token and without any header that could name the user.
 */
export function createAuthorizedFetch (client: AuthorizedClient, transport: Transport, config: ProviderConfig): typeof globalThis.fetch {
  return async (input, init) => {
    let request = await readRequest(input, init)
    let known = true
    for (let hops = 0; ; hops++) {
      const { url, method, headers, body, signal } = request
      const options: CallOptions = { headers, body: body.body as CallBody, signal: signal ?? null }
      const answer: ResponseData = known
        ? await client.call(method, url, options)
        : await transport.stream({ url: url as URL, method, headers, body: body.body, signal }).catch((cause: unknown) => { throw unreachable(config, cause, signal) })
      const from = resolved(url, config)
      const location = redirectOf(answer)
      if (location === undefined || request.redirect === 'manual') return asResponse(answer, from, method, hops > 0)
      await answer.body.dump().catch(() => {})
      if (request.redirect === 'error') throw new TypeError('fetch failed: the API redirects, and redirect is "error"')
      if (hops === MAX_REDIRECTS) throw new TypeError(`fetch failed: more than ${MAX_REDIRECTS} redirects`)
      const to = new URL(location, from)
      assertTransport(to, config)
      // Once outside, the way back in does not bring the token back: the other side chose where it leads.
      known &&= isResourceUrl(to, config)
      request = followed(request, answer.statusCode, to, known)
    }
  }
}

async function readRequest (input: Parameters<typeof fetch>[0], init: RequestInit = {}): Promise<FetchRequest> {
  const given = typeof input === 'string' || input instanceof URL ? undefined : input
  const headers = copyHeaders(given?.headers)
  Object.assign(headers, copyHeaders(init.headers as Headers | undefined))
  const source: CallBody | undefined = init.body ?? (given === undefined || given.body === null ? undefined : Buffer.from(await given.arrayBuffer()))
  const body = await prepareBody(streamable(source), undefined)
  if (body.contentType !== undefined) headers['content-type'] ??= body.contentType
  return {
    url: given === undefined ? input as string | URL : given.url,
    method: (init.method ?? given?.method ?? 'GET').toUpperCase(),
    headers,
    body,
    signal: init.signal ?? given?.signal ?? undefined,
    redirect: init.redirect ?? given?.redirect ?? 'follow'
  }
}

function streamable (body: CallBody | undefined): CallBody | undefined {
  return body instanceof ReadableStream ? Readable.fromWeb(body as import('node:stream/web').ReadableStream) : body
}

function redirectOf ({ statusCode, headers }: ResponseData): string | undefined {
  const location = headers.location
  return [301, 302, 303, 307, 308].includes(statusCode) && typeof location === 'string' ? location : undefined
}

// As the fetch standard has it: 303, and a POST that was moved, go on as GET.
function followed (request: FetchRequest, status: number, url: URL, known: boolean): FetchRequest {
  const { method, body } = request
  const becomesGet = (status === 303 && method !== 'GET' && method !== 'HEAD') || ((status === 301 || status === 302) && method === 'POST')
  if (!becomesGet && !body.replayable) throw new TypeError('fetch failed: the API redirects a request whose body is a stream and cannot be sent again')
  const headers: FetchRequest['headers'] = {}
  for (const [name, value] of Object.entries(request.headers)) {
    if (becomesGet && name.startsWith('content-')) continue
    if (known || ANONYMOUS_HEADERS.includes(name)) headers[name] = value
  }
  return { ...request, url, method: becomesGet ? 'GET' : method, headers, body: becomesGet ? { body: undefined, replayable: true } : body }
}

function resolved (url: string | URL, config: ProviderConfig): URL {
  return new URL(url, config.resourceServers[0])
}

function unreachable (config: ProviderConfig, cause: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return cause
  return new ApiUnavailableError(`a redirect of an API of provider "${config.name}" leads to a server that cannot be reached`, { provider: config.name, reason: 'no_answer', cause })
}

const NULL_BODY = [101, 103, 204, 205, 304]

function asResponse ({ statusCode, headers, body, statusText }: ResponseData, url: URL, method: string, redirected: boolean): Response {
  if (statusCode < 200 || statusCode > 599) throw new InvalidOptionsError(`an API answered with status ${statusCode}, which a Response cannot hold`)
  const list = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    for (const item of Array.isArray(value) ? value : [value]) if (item !== undefined) list.append(name, item)
  }
  const empty = NULL_BODY.includes(statusCode) || method === 'HEAD'
  if (empty) body.resume()
  const content = empty ? null : Readable.toWeb(decoded(body, list)) as ReadableStream
  const response = new Response(content, { status: statusCode, statusText: statusText ?? '', headers: list })
  Object.defineProperty(response, 'url', { value: url.href.split('#', 1)[0] })
  Object.defineProperty(response, 'redirected', { value: redirected })
  return response
}

// As fetch does it, the body comes decompressed, chunk by chunk.
function decoded (body: Readable, headers: Headers): Readable {
  const coding = headers.get('content-encoding')?.toLowerCase()
  const decoder = coding === 'gzip' || coding === 'x-gzip' ? createGunzip() : coding === 'deflate' ? createInflate() : coding === 'br' ? createBrotliDecompress() : undefined
  if (decoder === undefined) return body
  body.on('error', error => decoder.destroy(error))
  decoder.on('close', () => body.destroy())
  return body.pipe(decoder)
}
