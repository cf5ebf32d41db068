/** This project, with its defaults. */
import type { PluginOptions, ProviderOptions } from '../../dist/index.js'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { loadPlugin, loadRedisStore } from './plugin.ts'

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
  const options: PluginOptions = { baseUrl: origin, providers: { acme } }
  if (context.redis !== undefined) {
    const { connectRedis } = await import('./session-store.ts')
    const { redisStore } = await loadRedisStore()
    options.tokenStore = redisStore(await connectRedis(context.redis))
  }
  await app.register(oauth, options)
  app.get('/me', async ({ oauth }) => ({ sub: oauth.user?.id }))
  app.get('/json', async ({ oauth }) => oauth.get('orders').json())
  app.get('/response-data', async ({ oauth }) => {
    const { body } = await oauth.get('orders')
    return body.json()
  })
  await app.ready()
}
