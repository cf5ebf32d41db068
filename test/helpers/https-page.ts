import type { FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { Agent } from 'undici'
import { authority, serverTls } from './certificates.ts'
import { startChromium } from './chromium.ts'
import { startProviderOfAllWays, type Way } from './response-modes.ts'

/** An oidc-provider over https on another site, and what an app over https is built with to log in there. */
export async function startHttpsProvider (t: Test, way: Way) {
  const provider = await startProviderOfAllWays(t, { tls: serverTls })
  const dispatcher = new Agent({ connect: { ca: authority } })
  t.after(() => dispatcher.close())
  const fastify = { https: serverTls } as FastifyServerOptions
  const oauth = { providers: { acme: { ...provider.providerOptions, ...way } }, dispatcher }
  return { provider, fastify, oauth }
}

/**
 * A page of Chromium that takes any certificate; undefined where there is no Chromium. `complaints` are the errors in
 * the page's console.
 */
export async function openHttpsPage (t: Test) {
  const chromium = await startChromium(t)
  if (chromium === undefined) return undefined
  const context = await chromium.newContext({ ignoreHTTPSErrors: true })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' && !/favicon/.test(message.location().url)) complaints.push(message.text())
  })
  return { context, page, complaints }
}
