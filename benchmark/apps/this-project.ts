/** This project, with its defaults. */
import type { ProviderOptions } from '../../dist/index.js'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { loadPlugin, loadRedisStore } from './plugin.ts'
import { connectRedis } from './session-store.ts'

export async function build (context: AppContext): Promise<void> {
  const { api, origin, provider } = context
  const { default: oauth } = await loadPlugin()
  const app = await createSessionApp(context)
  const acme: ProviderOptions = {
    issuer: provider,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    scope: SCOPE,
    resourceServers: [`${api}/v1/`]
  }
  await app.register(oauth, {
    baseUrl: origin,
    providers: { acme },
    ...(context.redis !== undefined && {
      tokenStore: (await loadRedisStore()).redisStore(await connectRedis(context.redis))
    })
  })
  app.get('/me', async ({ oauth }) => ({ sub: oauth.user?.id }))
  app.get('/json', async ({ oauth }) => oauth.get('orders').json())
  app.get('/response-data', async ({ oauth }) => {
    const { body } = await oauth.get('orders')
    return body.json()
  })
  await app.ready()
}
