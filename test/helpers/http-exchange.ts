import { once } from 'node:events'
import * as http from 'node:http'
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

/** One request and its whole answer, on a connection of its own: nothing to close, nothing that is kept alive. */
export async function exchange (
  url: URL, { method, headers, body }: { method: string, headers: Record<string, string>, body?: string | undefined }
): Promise<HttpResponse> {
  const secure = url.protocol === 'https:'
  const settings = { method, headers, lookup, agent: false as const, ...(secure ? { rejectUnauthorized: false } : {}) }
  const request = (secure ? https : http).request(url, settings)
  request.end(body)
  const [response] = await once(request, 'response') as [http.IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}
