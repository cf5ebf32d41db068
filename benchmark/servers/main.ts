/** The process of the provider and the API. */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '../rpc.ts'
import { answerApi } from './api.ts'
import { Provider, type ProviderSettings } from './provider.ts'

async function listen (listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.keepAliveTimeout = 600_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const provider = new Provider()
const providerUrl = await listen((request, response) => {
  provider.answer(request, response).catch((error: Error) => response.writeHead(500).end(error.stack))
})
const apiUrl = await listen((request, response) => answerApi(request, response, provider))
provider.issuer = providerUrl

serve({
  urls: () => ({ provider: providerUrl, api: apiUrl }),
  set: (settings: Partial<ProviderSettings>) => Object.assign(provider.settings, settings),
  issueToken: () => provider.issueToken(),
  takeCounts: () => provider.takeCounts()
})
