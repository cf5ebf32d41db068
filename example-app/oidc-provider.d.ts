// oidc-provider ships no types. Declared here: what the example uses of it, and no more.
declare module 'oidc-provider' {
  import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'

  export interface ProviderContext {
    req: IncomingMessage
    res: ServerResponse
    method: string
    path: string
    status: number
    type: string
    body: unknown
    set (headers: Record<string, string>): void
    redirect (url: string): void
    oidc: {
      provider: Provider
      client: { clientId: string }
      session: { accountId: string, grantIdFor (clientId: string): string | undefined }
    }
  }

  export interface Grant {
    addOIDCScope (scope: string): void
    save (): Promise<string>
  }

  export default class Provider {
    constructor (issuer: string, configuration: Record<string, unknown>)
    Grant: {
      new (properties: { clientId: string, accountId: string }): Grant
      find (id: string): Promise<Grant | undefined>
    }

    use (middleware: (ctx: ProviderContext, next: () => Promise<void>) => Promise<void>): this
    on (event: 'server_error' | 'backchannel.error', listener: (ctx: ProviderContext, error: Error) => void): this
    callback (): RequestListener
    interactionDetails (
      req: IncomingMessage,
      res: ServerResponse
    ): Promise<{ uid: string, params: Record<string, unknown> }>
    interactionResult (req: IncomingMessage, res: ServerResponse, result: Record<string, unknown>): Promise<string>
  }
}
