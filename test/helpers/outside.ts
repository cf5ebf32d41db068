import type { IncomingHttpHeaders, RequestListener } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { listen } from './listen.ts'

export interface Outside {
  /** Every request in order. */
  readonly seen: Array<{ method: string, url: string, headers: IncomingHttpHeaders, body: string }>
  /** Ends with a slash. */
  readonly url: string
}

/** A server without a login that records what it is sent. */
export async function startOutside (
  t: Pick<Test, 'after'>,
  answer: RequestListener = (_request, response) => response.end('{"outside":true}')
): Promise<Outside> {
  const seen: Outside['seen'] = []
  const { server, port, close } = await listen()
  t.after(close)
  server.on('request', async (request, response) => {
    const { method = '', url = '', headers } = request
    seen.push({ method, url, headers, body: await text(request) })
    answer(request, response)
  })
  return { seen, url: `http://127.0.0.1:${port}/` }
}
