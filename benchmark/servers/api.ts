/** An API: orders as JSON, about 1 KB, for an access token of the provider. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Provider } from './provider.ts'

const orders = JSON.stringify(Array.from({ length: 9 }, (_, index) => ({
  id: `order-${1000 + index}`,
  item: ['tea', 'cake', 'coffee beans'][index % 3],
  quantity: index + 1,
  price: { amount: 3.5 * (index + 1), currency: 'EUR' },
  placed: '2026-01-15T09:30:00Z'
})))

export function answerApi (request: IncomingMessage, response: ServerResponse, provider: Provider): void {
  const sub = request.url === '/v1/orders' ? provider.userOf(request.headers.authorization) : undefined
  if (sub === undefined) {
    response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end()
    return
  }
  const body = `{"user":"${sub}","orders":${orders}}`
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
}
