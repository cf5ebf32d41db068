import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'

/**
 * Reads the whole body and puts it back, so that the next reader finds the stream unread.
 * (oidc-provider would take an already parsed `req.body` too, but complains about it on the console.)
 */
export async function peekBody (request: IncomingMessage): Promise<string> {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers
  if (length === '0' && encoding === undefined) return ''

  const chunks: Buffer[] = []
  while (true) {
    const chunk = request.read() as Buffer | null
    if (chunk !== null) chunks.push(chunk)
    // In the same tick as the last read(): one tick later the stream would be over and refuse the unshift().
    if (request.complete) break
    await once(request, 'readable')
  }

  const body = Buffer.concat(chunks)
  if (body.length > 0) request.unshift(body)
  return body.toString()
}
