import type { Exchange, Fault } from '../../lib/testing/endpoint.ts'

// Ready-made ways for an endpoint to misbehave: `provider.failTokenEndpoint(answerLost)`.

/** The connection is cut before the provider has acted: nothing has happened. */
export const cutBefore: Fault = ({ response }) => { response.destroy() }

/** The connection is cut after the provider has acted: a rotated refresh token is lost on its way. */
export const answerLost: Fault = async ({ process, response }) => {
  await process()
  response.destroy()
}

/** The provider has acted, and the connection breaks in the middle of its answer. */
export const cutMidway: Fault = async ({ process, response }) => {
  const { status, body } = await process()
  const json = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': json.length })
  // Only once the half is on the wire, else the client may see no answer at all.
  response.write(json.slice(0, json.length / 2), () => response.destroy())
}

/** No answer, and no end. */
export const hang: Fault = () => {}

/** An answer that goes on for ever, a byte at a time: each byte resets a timeout that watches for silence only. */
export const drip: Fault = ({ response }) => {
  response.writeHead(200, { 'content-type': 'application/json' })
  const timer = setInterval(() => response.write(' '), 20)
  response.once('close', () => clearInterval(timer))
}

/** More than a client should read of a token response: `bytes` of JSON. */
export const flood =
  (bytes = 4 * 1024 * 1024): Fault =>
    () => ({ status: 200, body: { access_token: 'a'.repeat(bytes) } })

export const html: Fault = () => ({
  status: 502,
  headers: { 'content-type': 'text/html' },
  body: '<!DOCTYPE html><title>502 Bad Gateway</title><h1>Bad Gateway</h1>',
})

export const garbage: Fault = () => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: '{"access_token":'
})

/**
 * The provider acts, and its JSON is changed before it goes out: `edited((tokens) => ({ ...tokens, scope: 'openid'
 * }))`.
 */
export const edited = (edit: (body: Record<string, unknown>) => unknown): Fault => async ({ process }: Exchange) => {
  const { status, body } = await process()
  return { status, headers: { 'content-type': 'application/json' }, body: edit(body as Record<string, unknown>) }
}
