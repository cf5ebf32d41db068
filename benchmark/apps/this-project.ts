/** This project, with its defaults. */
import type { PluginOptions, ProviderOptions } from '../../dist/index.js'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { loadPlugin, loadRedisStore } from './plugin.ts'

export async function build (context: AppContext): Promise<void> {
  const { api, origin, provider } = context
  const { default: oauth } = await loadPlugin()
  const app = await createSessionApp(context)
  const providerOptions = (clientId: string): ProviderOptions => ({
    issuer: provider,
    clientId,
    clientSecret: CLIENT_SECRET,
    scope: SCOPE,
    resourceServers: [`${api}/v1/`]
  })
  const providers: Record<string, ProviderOptions> = { acme: providerOptions(CLIENT_ID) }
  for (let number = 2; number <= (context.providers ?? 1); number++) {
    providers[`acme${number}`] = providerOptions(`client-${number}`)
  }
  const options: PluginOptions = { baseUrl: origin, providers, defaultProvider: 'acme' }
  if (context.redis !== undefined) {
    const { connectRedis } = await import('./redis-client.ts')
    const { redisStore } = await loadRedisStore()
    options.tokenStore = redisStore(await connectRedis(context.redis))
  }
  await app.register(oauth, options)
  app.get('/me', async ({ oauth }) => ({ sub: oauth.user?.id }))
  app.get('/json', async ({ oauth }) => oauth.get('orders').json())
  app.get('/three-calls', async ({ oauth }) => {
    for (let calls = 0; calls < 2; calls++) await oauth.get('orders').json()
    return oauth.get('orders').json()
  })
  app.get('/response-data', async ({ oauth }) => {
    const { body } = await oauth.get('orders')
    return body.json()
  })
  await app.ready()
}
