import { once } from 'node:events'
import * as http from 'node:http'
import * as http2 from 'node:http2'
import * as https from 'node:https'
import type { LookupFunction } from 'node:net'
import { text } from 'node:stream/consumers'

export interface HttpResponse {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

// Every name is this machine: with `app.test` and `evil.test` there are as many sites as a test needs.
const lookup: LookupFunction = (_hostname, { all }, callback) => {
  if (all === true) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}

/** Of a connection, which HTTP/2 has no headers for. */
const OF_CONNECTION = ['connection', 'host', 'keep-alive', 'transfer-encoding', 'upgrade']

interface HttpRequest {
  method: string
  headers: Record<string, string>
  body?: string | undefined
}

/** One request and its whole answer, on a connection of its own: nothing to close, nothing that is kept alive. */
export async function exchange (url: URL, { method, headers, body }: HttpRequest): Promise<HttpResponse> {
  const secure = url.protocol === 'https:'
  const settings = { method, headers, lookup, agent: false as const, ...(secure ? { rejectUnauthorized: false } : {}) }
  const request = (secure ? https : http).request(url, settings)
  request.end(body)
  const [response] = await once(request, 'response') as [http.IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}

/** The same over HTTP/2, with TLS or without, by a client that knows what the server speaks. */
export async function exchangeOverHttp2 (url: URL, { method, headers, body }: HttpRequest): Promise<HttpResponse> {
  const connection = http2.connect(`${url.protocol}//127.0.0.1:${url.port}`, { rejectUnauthorized: false })
  try {
    const kept = Object.entries(headers).filter(([name]) => !OF_CONNECTION.includes(name.toLowerCase()))
    const stream = connection.request({
      ':method': method,
      ':scheme': url.protocol.slice(0, -1),
      ':authority': headers.host ?? url.host,
      ':path': url.pathname + url.search,
      ...Object.fromEntries(kept)
    })
    stream.end(body)
    const [{ ':status': status = 0, ...received }] = await once(stream, 'response') as [http2.IncomingHttpHeaders & {
      ':status'?: number
    }]
    return { status, headers: received as http.IncomingHttpHeaders, text: await text(stream) }
  } finally {
    connection.destroy()
  }
}
