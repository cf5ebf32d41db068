// oidc-provider ships no types, and an app's test may have those of another package. These are the few that the test
// provider touches, not a description of the package.
import type { EventEmitter } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'

/** Koa's context, with what oidc-provider hangs on it once a route has matched. */
export interface Context {
  readonly req: IncomingMessage & { originalUrl?: string }
  readonly res: ServerResponse
  readonly method: string
  readonly path: string
  readonly url: string
  querystring: string
  readonly headers: IncomingHttpHeaders
  readonly response: { readonly headers: OutgoingHttpHeaders }
  readonly oidc: OIDCContext
  status: number
  body: unknown
  type: string
  /** `false` tells Koa that other code sends the response. */
  respond?: boolean
  set (headers: Record<string, string>): void
  redirect (url: string): void
}

export interface OIDCContext {
  readonly provider: Provider
  readonly client: Client
  readonly account: { accountId: string }
  readonly session: { grantIdFor (clientId: string): string | undefined }
  readonly requestParamScopes: Set<string>
  readonly requestParamOIDCScopes: Set<string>
  /** Those of the parameter `claims` (OpenID Connect Core, section 5.5). */
  readonly requestParamClaims: Set<string>
  readonly resourceServers: Record<string, { readonly scopes: Set<string> }>
}

export type Middleware = (ctx: Context, next: () => Promise<void>) => Promise<void> | void

export interface Interaction {
  readonly uid: string
  readonly prompt: { readonly name: string, readonly reasons: string[] }
  readonly params: Record<string, string | undefined>
}

export interface Client {
  readonly clientId: string
  backchannelLogoutUri?: string | undefined
  backchannelLogout (sub: string, sid?: string): Promise<void>
  redirectUriAllowed (uri: string): boolean
  postLogoutRedirectUriAllowed (uri: string): boolean
}

export interface Token {
  readonly clientId: string
  /** The thumbprint of the certificate that it is bound to. */
  readonly 'x5t#S256'?: string
  readonly accountId?: string
  readonly scopes: Set<string>
  /** Thumbprint of the key that it is bound to (RFC 9449). */
  readonly jkt?: string
}

export interface Grant {
  readonly jti: string
  addOIDCScope (scope: string): void
  addOIDCClaims (claims: string[]): void
  rejectOIDCScope (scope: string): void
  addResourceScope (resource: string, scope: string): void
  save (): Promise<string>
}

/** What becomes of a user's claims in an ID token or at the userinfo endpoint. */
export interface Claims {
  readonly available: Record<string, unknown>
  result (): Promise<Record<string, unknown>>
}

export interface Model<T> {
  find (value: string): Promise<T | undefined>
}

/** Where oidc-provider keeps everything: one adapter a model ("AccessToken", "Session", ...). */
export interface Adapter {
  upsert (id: string, payload: Record<string, unknown>, expiresIn?: number): Promise<void>
  find (id: string): Promise<Record<string, unknown> | undefined>
  findByUid (uid: string): Promise<Record<string, unknown> | undefined>
  findByUserCode (userCode: string): Promise<Record<string, unknown> | undefined>
  consume (id: string): Promise<void>
  destroy (id: string): Promise<void>
  revokeByGrantId (grantId: string): Promise<void>
}

export type Configuration = Record<string, unknown>

export interface Provider extends EventEmitter {
  readonly issuer: string
  readonly AccessToken: Model<Token>
  readonly ClientCredentials: Model<Token>
  readonly Client: Model<Client> & { prototype: Client }
  readonly Claims: new (...args: any[]) => Claims
  readonly Grant: Model<Grant> & { new (properties: { accountId: string, clientId: string }): Grant }
  use (middleware: Middleware): this
  callback (): (request: IncomingMessage, response: ServerResponse) => void
  interactionDetails (request: IncomingMessage, response: ServerResponse): Promise<Interaction>
  interactionResult (
    request: IncomingMessage, response: ServerResponse, result: object,
    options?: { mergeWithLastSubmission?: boolean }
  ): Promise<string>
}

/** What is imported of oidc-provider. */
export interface OidcProviderModule {
  readonly Provider: new (issuer: string, configuration?: Configuration) => Provider
}
