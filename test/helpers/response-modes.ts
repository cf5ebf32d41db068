import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { ProviderOptions } from '../../lib/index.ts'
import { startProvider } from './provider.ts'

/** How a provider is asked to answer. */
export type Way = Pick<ProviderOptions, 'responseMode' | 'responseType'>

/** How the browser came back: the method, and the names of the parameters in order. */
export interface Callback { method: string, names: string[] }

/** Starts an oidc-provider on another site than the app's, which answers in all of these ways. */
export async function startProviderOfAllWays (
  t: Test, options: Pick<NonNullable<Parameters<typeof startProvider>[1]>, 'tls'> = {}
) {
  return await startProvider(t, {
    ...options,
    host: 'localhost',
    features: { jwtResponseModes: true },
    client: {
      grant_types: ['authorization_code', 'refresh_token', 'implicit'],
      response_types: ['code', 'code id_token'],
      redirect_uris: ['https://app.example/never']
    }
  })
}

/** Notes how browsers come back to an app. */
export function noteCallbacks (app: FastifyInstance, callbacks: Callback[]): void {
  app.addHook('preHandler', async ({ method, url, body, query }) => {
    if (!url.startsWith('/login/acme/callback')) return
    callbacks.push({ method, names: Object.keys((method === 'POST' ? body : query) as object).sort() })
  })
}
