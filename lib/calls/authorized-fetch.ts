import { Readable } from 'node:stream'
import {
  ApiUnavailableError, InsecureTransportError, InvalidOptionsError, InvalidResponseError, OriginNotAllowedError
} from '../errors.ts'
import { CODINGS, decodeStream } from '../http/content-coding.ts'
import type { ResponseData } from '../http/response.ts'
import { targetOf, type Transport } from '../http/transport.ts'
import type { ProviderConfig } from '../providers/config.ts'
import { leadsInside } from '../util/network-zone.ts'
import { shown } from '../util/shown.ts'
import { type AuthorizedClient, kAccount } from './authorized-client.ts'
import { checkFetchInit } from './call-options.ts'
import { assertUnread, type CallBody, copyHeaders, prepareBody, type PreparedBody } from './request-body.ts'
import { assertTransport, isResourceUrl } from './resource-url.ts'

const MAX_REDIRECTS = 20
/** Headers that do not name the user, and may follow a redirect away from the resource servers. */
const ANONYMOUS_HEADERS = ['accept', 'accept-encoding', 'accept-language', 'content-encoding', 'content-language',
  'content-type', 'user-agent']
/** Headers for one origin, though the token may go to another resource server as well. */
const ORIGIN_HEADERS = ['cookie', 'proxy-authorization']
/** Methods that the fetch standard forbids: they return a request's headers, or make a tunnel. */
const FORBIDDEN_METHODS = ['CONNECT', 'TRACE', 'TRACK']

interface FetchRequest {
  url: string | URL
  method: string
  headers: Record<string, string | string[] | undefined>
  body: PreparedBody
  signal: AbortSignal | undefined
  redirect: 'follow' | 'manual' | 'error'
}

/**
 * `fetch` as the current account: the same checks and the same retry as every other call, redirects followed hop by
 * hop. After a hop that leaves the resource servers, requests carry no token and no header that could name the user. As
 * in a browser, the response has no `Set-Cookie` header: a handler that returns it must not pass it on. Nor has it
 * headers of the connection.
 */
export async function authorizedFetch (
  client: AuthorizedClient, ...[input, init]: Parameters<typeof globalThis.fetch>
): Promise<Response> {
  const { holder, transport } = client
  const provider = holder[kAccount]().provider.config
  let request = await readRequest(input, init ?? {}, provider)
  let trusted = true
  for (let hops = 0; ; hops++) {
    const answer = trusted ? await sendWithToken(client, request) : await sendAnonymous(transport, request, provider)
    const from = new URL(request.url, provider.resourceServers[0])
    const location = redirectOf(answer)
    if (location === undefined || request.redirect === 'manual') {
      return asResponse(answer, from, request.method, hops > 0)
    }

    await answer.body.dump().catch(() => {})
    if (request.redirect === 'error') throw new TypeError('fetch failed: the API redirects, and redirect is "error"')
    if (hops === MAX_REDIRECTS) throw new TypeError(`fetch failed: more than ${MAX_REDIRECTS} redirects`)
    const to = redirectTarget(location, from, provider)
    assertTransport(to, provider)
    // Once outside, the way back in does not bring the token back: the other side chose where it leads.
    trusted &&= isResourceUrl(to, provider)
    if (!trusted) assertNotInside(from, to, provider)
    request = redirected(request, answer.statusCode, to, trusted, to.origin !== from.origin)
  }
}

async function sendWithToken (
  client: AuthorizedClient, { url, method, headers, body, signal }: FetchRequest
): Promise<ResponseData> {
  return await client.call(method, url, { headers, body: body.body as CallBody, signal: signal ?? null })
}

async function sendAnonymous (
  transport: Transport, { url, method, headers, body, signal }: FetchRequest, { name: provider }: ProviderConfig
): Promise<ResponseData> {
  try {
    return await transport.stream({ ...targetOf(url as URL), method, headers, body: body.body, signal })
  } catch (cause) {
    if (signal?.aborted === true) throw signal.reason
    throw new ApiUnavailableError(
      `a redirect of an API of provider "${provider}" leads to a server that cannot be reached`,
      { provider, reason: 'no_answer', cause }
    )
  }
}

async function readRequest (
  input: Parameters<typeof fetch>[0], init: RequestInit, { name: provider }: ProviderConfig
): Promise<FetchRequest> {
  checkFetchInit(init, provider)
  const given = typeof input === 'string' || input instanceof URL ? undefined : requestOf(input, provider)
  const method = (init.method ?? given?.method ?? 'GET').toUpperCase()
  if (FORBIDDEN_METHODS.includes(method)) throw new TypeError(`fetch failed: ${method} is not allowed`)
  const signal = (init.signal === undefined ? given?.signal : init.signal) ?? undefined
  signal?.throwIfAborted()
  // By the fetch standard, the headers of `init` replace those of the request.
  const headers = copyHeaders((init.headers ?? given?.headers) as Headers | undefined)
  headers.accept ??= '*/*'
  headers['accept-encoding'] ??= CODINGS
  const body = await readBody(init.body ?? (await bodyOf(given)))
  if (body.body !== undefined && (method === 'GET' || method === 'HEAD')) {
    throw new TypeError(`fetch failed: a ${method} cannot have a body`)
  }
  if (body.contentType !== undefined) headers['content-type'] ??= body.contentType
  return {
    url: given === undefined ? (input as string | URL) : given.url,
    method,
    headers,
    body,
    signal,
    redirect: init.redirect ?? given?.redirect ?? 'follow'
  }
}

// It may be of another class than this realm's, as that of a library is.
function requestOf (input: unknown, provider: string): Request {
  if (typeof (input as Request | null | undefined)?.arrayBuffer === 'function') return input as Request
  const message = `fetch takes a URL, a string or a Request, not ${shown(input)}`
  throw new InvalidOptionsError(message, { provider, reason: 'invalid_option' })
}

// Read whole, so that it can be sent again after a 401 or a redirect.
async function bodyOf (request: Request | undefined): Promise<Buffer | undefined> {
  return request === undefined || request.body === null ? undefined : Buffer.from(await request.arrayBuffer())
}

// The content types of the fetch standard, which undici's own calls do not add.
async function readBody (source: CallBody | undefined): Promise<PreparedBody> {
  assertUnread(source)
  const body = await prepareBody(
    source instanceof ReadableStream ? Readable.fromWeb(source as import('node:stream/web').ReadableStream) : source,
    undefined
  )
  if (typeof source === 'string') body.contentType = 'text/plain;charset=UTF-8'
  if (source instanceof URLSearchParams) body.contentType = 'application/x-www-form-urlencoded;charset=UTF-8'
  return body
}

function redirectOf ({ statusCode, headers }: ResponseData): string | undefined {
  const location = headers.location
  return [301, 302, 303, 307, 308].includes(statusCode) && typeof location === 'string' ? location : undefined
}

function redirectTarget (location: string, from: URL, { tokenPlacement }: ProviderConfig): URL {
  if (!URL.canParse(location, from.href)) {
    throw new TypeError('fetch failed: the API redirects to something that is no URL')
  }
  const to = new URL(location, from)
  // A server that repeats the query of the request must not pass the token on, nor get it twice.
  if (tokenPlacement === 'query') {
    to.search = to.search.replace(/([?&])access_token=[^&]*&?/g, '$1').replace(/[?&]$/, '')
  }
  return to
}

// A server on the Internet must not make this machine send requests into its own network.
function assertNotInside (from: URL, to: URL, { name: provider }: ProviderConfig): void {
  if (leadsInside(from, to)) {
    throw new OriginNotAllowedError(
      `an API of provider "${provider}" redirects from ${from.origin} to ${to.origin}, which is not followed: ` +
        'it leads into a private network or onto this machine; list it under resourceServers if it is an API of ' +
        'that provider',
      { provider, reason: 'redirect_inside' }
    )
  }
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw new InsecureTransportError(
      `an API of provider "${provider}" redirects from https to ${to.origin}, which is not followed: it is plain http`,
      { provider, reason: 'redirect_downgrade' })
  }
}

// By the fetch standard, 303 and a redirected POST become GET.
function redirected (
  request: FetchRequest, status: number, url: URL, trusted: boolean, elsewhere: boolean
): FetchRequest {
  const { method, body } = request
  const becomesGet =
    (status === 303 && method !== 'GET' && method !== 'HEAD') ||
    ((status === 301 || status === 302) && method === 'POST')
  if (!becomesGet && !body.replayable) {
    throw new TypeError('fetch failed: the API redirects a request whose body is a stream and cannot be sent again')
  }
  const kept = (name: string) =>
    !(becomesGet && name.startsWith('content-')) &&
    (trusted ? !(elsewhere && ORIGIN_HEADERS.includes(name)) : ANONYMOUS_HEADERS.includes(name))
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => kept(name)))
  return {
    ...request,
    url,
    method: becomesGet ? 'GET' : method,
    headers,
    body: becomesGet ? { body: undefined, replayable: true } : body
  }
}

const NULL_BODY = [204, 205, 304]

// They are of the connection to the API (RFC 9110, section 7.6.1). An app that returns the Response over HTTP/2 would
// end with an error that nothing catches.
const CONNECTION_HEADERS = [
  'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'
]

function namesIn (header: string | string[] | undefined): string[] {
  return [header ?? []].flat().join().toLowerCase().split(',').map(name => name.trim())
}

async function asResponse (
  { statusCode, headers, body, statusText }: ResponseData, url: URL, method: string, redirected: boolean
): Promise<Response> {
  if (statusCode < 200 || statusCode > 599) {
    await body.dump().catch(() => {})
    throw new InvalidResponseError(
      `an API answered ${method} ${url.pathname} with status ${statusCode}, which a Response cannot hold`,
      { reason: 'status' }
    )
  }
  const list = new Headers()
  const ofConnection = [...CONNECTION_HEADERS, ...namesIn(headers.connection)]
  for (const [name, value] of Object.entries(headers)) {
    if (name === 'set-cookie' || ofConnection.includes(name)) continue
    for (const item of Array.isArray(value) ? value : [value]) if (item !== undefined) list.append(name, item)
  }
  const options = { status: statusCode, statusText: statusText ?? '', headers: list }
  if (NULL_BODY.includes(statusCode) || method === 'HEAD') {
    await body.dump().catch(() => {})
    return withUrl(new Response(null, options), url, redirected)
  }
  const plain = decodeStream(body, headers['content-encoding'])
  if (plain !== undefined) {
    // They describe the encoded body.
    list.delete('content-encoding')
    list.delete('content-length')
  }
  const source = plain ?? body
  const content = Readable.toWeb(source) as ReadableStream
  const response = new Response(content, options)
  unreadResponses.register(response, { content: new WeakRef(content), source })
  return withUrl(response, url, redirected)
}

// Many callers look at the status alone: a response that is dropped unread must not keep its connection.
const unreadResponses = new FinalizationRegistry<{ content: WeakRef<ReadableStream>, source: Readable }>(
  ({ content, source }) => {
    const left = content.deref()
    if (left === undefined || !(left.locked || Readable.isDisturbed(left as unknown as Readable))) {
      source.on('error', () => {}).destroy()
    }
  }
)

// A Response has these from `fetch` alone: its constructor cannot set them.
function withUrl (response: Response, url: URL, redirected: boolean): Response {
  return Object.defineProperties(response, {
    url: { value: url.href.split('#', 1)[0] },
    redirected: { value: redirected },
    clone: { value: () => withUrl(Response.prototype.clone.call(response), url, redirected) }
  })
}
