// What an app writes that has listed its providers as the README does. Compiled with that list alone: it counts for a
// whole program.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import oauth, { type ProviderOptions } from 'fastify-oauth-session'

declare const provider: ProviderOptions
const baseUrl = 'https://app.example'

export async function named (app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  await app.register(oauth, {
    baseUrl,
    defaultProvider: 'acme',
    providers: { acme: provider, github: provider },
    onLogout: (_request, _reply, { provider }) => provider === 'acme'
  })
  app.get(
    '/',
    { onRequest: app.oauth.requireLogin({ provider: 'acme' }) },
    async () => request.oauth.using('github').user
  )
  await request.oauth.login(reply, { provider: 'github', link: true })
  const current: 'acme' | 'github' | undefined = request.oauth.provider
  return [current, app.oauth.provider('acme'), request.oauth.accounts.map(({ provider }) => provider === 'github')]
}

export async function misspelt (app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  // @ts-expect-error an unknown name
  request.oauth.using('githup')
  // @ts-expect-error an unknown name
  app.oauth.provider('githup')
  // @ts-expect-error an unknown name
  app.oauth.requireLogin({ provider: 'githup' })
  // @ts-expect-error an unknown name
  await request.oauth.login(reply, { provider: 'githup' })
  // @ts-expect-error an unknown name
  await app.oauth.logoutUser({ provider: 'githup', subject: 'a' })
  // @ts-expect-error one is missing
  await app.register(oauth, { baseUrl, providers: { acme: provider } })
}
