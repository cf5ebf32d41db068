import type { IncomingHttpHeaders, IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** A request to an API that a test stands in for. */
export interface TestApiRequest {
  /** The HTTP method. */
  readonly method: string
  /** The whole URL. */
  readonly url: URL
  /** The header fields, in lower case. */
  readonly headers: IncomingHttpHeaders
  /** The body as text; empty if there is none. */
  readonly body: string
}

/**
 * A stand-in for an API: a function that returns the answer, as a value or a Response; or a Fastify app.
 */
export type TestApi =
  | ((request: TestApiRequest) => unknown)
  | { routing: (request: IncomingMessage, response: ServerResponse) => void, ready: () => PromiseLike<unknown> }

/** Makes the server of an API. */
export function listenerOf (api: TestApi, origin: string): RequestListener {
  if (typeof api !== 'function') {
    return (request, response) => {
      void Promise.resolve(api.ready()).then(() => api.routing(request, response), () => response.destroy())
    }
  }
  return (request, response) => {
    answer(api, request, origin).then(async (result) => {
      response.writeHead(result.status, Object.fromEntries(result.headers))
      response.end(Buffer.from(await result.arrayBuffer()))
    }, (error: Error) => {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`the API of the test failed: ${error.stack}`)
    })
  }
}

async function answer (
  api: (request: TestApiRequest) => unknown, message: IncomingMessage, origin: string
): Promise<Response> {
  const { method = 'GET', url = '/', headers } = message
  const body = (await buffer(message)).toString()
  const result = await api({ method, url: new URL(url, origin), headers, body })
  if (result instanceof Response) return result
  return result === undefined ? new Response(null, { status: 204 }) : Response.json(result)
}
