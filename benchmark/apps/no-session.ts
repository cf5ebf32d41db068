/** The least that a call can cost: an app without a session, and one token for everyone. */
import { Agent, Pool, request } from 'undici'
import type { AppContext } from './context.ts'
import { createApp } from './fastify.ts'
import { getJson } from './get-json.ts'

export async function build (context: AppContext): Promise<void> {
  const app = createApp(context)
  const url = `${context.api}/v1/orders`
  const agent = new Agent()
  const pool = new Pool(context.api)
  // No login: the token is the one that the measure got elsewhere.
  app.get('/request', async (incoming) => {
    const { body } = await request(url, { dispatcher: agent, headers: { authorization: tokenOf(incoming.headers) } })
    return body.json()
  })
  app.get('/dispatch', async (incoming) => getJson(pool, '/v1/orders', tokenOf(incoming.headers)))
  app.get('/fetch', async (incoming) => {
    const response = await fetch(url, { headers: { authorization: tokenOf(incoming.headers) } })
    return response.json()
  })
  await app.ready()
}

const tokenOf = (headers: { authorization?: string | undefined }) => headers.authorization ?? ''
