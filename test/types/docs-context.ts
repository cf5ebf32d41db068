// What code blocks of the documents take for granted. Compiled with them alone: it declares for all of them.
import type {} from '@fastify/csrf-protection'
import type {} from '@fastify/rate-limit'
import type { SessionStore } from '@fastify/session'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import type fastifyOAuthSession from '../../lib/index.ts'
import type { DpopKey, PluginOptions, ProviderHandle, ProviderOptions, TokenSet } from '../../lib/index.ts'

declare module 'fastify' {
  interface Session { asked?: boolean }
}

declare global {
  const app: FastifyInstance, request: FastifyRequest, reply: FastifyReply
  const oauth: typeof fastifyOAuthSession
  const acme: ProviderOptions, corp: ProviderOptions, provider: ProviderHandle
  const issuer: string, clientId: string, clientSecret: string, clientKeys: string, scope: string[]
  const resourceServers: string[]
  const kept: TokenSet
  function keep (tokens: TokenSet): Promise<void>
  const store: SessionStore
  const orders: import('node:events').EventEmitter
  const callbackUrl: string, subjectToken: string
  const transfer: RouteHandlerMethod, transferPage: RouteHandlerMethod
  interface Order { id: number }
  /** What a block that shows members of the options alone is compiled as. */
  type Options = Partial<PluginOptions>
  type Providers = PluginOptions['providers']
  function saveName (userId: string, name: { firstName: string, lastName: string }): Promise<void>
  function save (login: { tokens: TokenSet, dpopKey: DpopKey | undefined }): Promise<void>
  function load (): Promise<{ tokens: TokenSet, dpopKey: DpopKey }>
}
