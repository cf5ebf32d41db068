import fastifyPlugin from 'fastify-plugin'
import * as errors from './errors.ts'
import { createProvider } from './headless.ts'
import { codeChallenge, createCodeVerifier } from './protocol/random.ts'
import { oauthSession, type AppOAuth, type PluginOptions } from './plugin.ts'
import type { RequestOAuth } from './request-oauth.ts'
import type { SessionAccounts } from './session/accounts.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Guards, and what the app itself does with its providers. */
    oauth: AppOAuth
  }
  interface FastifyRequest {
    /** Who is logged in, and an HTTP client that calls APIs as them. */
    readonly oauth: RequestOAuth
  }
  interface Session {
    /** Kept by fastify-oauth-session: who is logged in, never a token. */
    oauth?: SessionAccounts
  }
}

const registered = fastifyPlugin<PluginOptions>(oauthSession, {
  fastify: '5.x',
  name: 'fastify-oauth-session'
})

/** The plugin. For `require()`, everything this package exports hangs on it. */
const plugin = Object.assign(registered, errors, { createProvider, codeChallenge, createCodeVerifier, default: registered, fastifyOAuthSession: registered })

export default plugin
export { plugin as fastifyOAuthSession, plugin as 'module.exports' }
export * from './errors.ts'
// With `*`: only so can an app add to the interface by this package's name.
export type * from './providers/names.ts'
export { createProvider, type HeadlessOptions, type HeadlessProvider } from './headless.ts'
export { codeChallenge, createCodeVerifier } from './protocol/random.ts'
export type { AppProvider, ClientCredentialsOptions, DeviceLogin } from './client/app-provider.ts'
export type { DeviceAuthorization, GrantOptions, TokenExchange } from './client/grants.ts'
export type { OAuthSession, OAuthSessionInit, AuthorizationUrlOptions, FetchTokensOptions, StartedLogin } from './client/oauth-session.ts'
export type { AppOAuth, PluginOptions as OAuthSessionOptions } from './plugin.ts'
export type { LoginEvent, LogoutEvent, RouteOptions, TokensEvent } from './options.ts'
export type { RequestOAuth } from './request-oauth.ts'
export type { CallOptions } from './client/authorized-client.ts'
export type { KeptTokens, TokensInput } from './client/load-tokens.ts'
export type { OAuthCall } from './client/oauth-call.ts'
export type { LoginOptions } from './routes/login.ts'
export type { RequireLoginOptions } from './routes/guard.ts'
export type { Pages, Link } from './routes/pages.ts'
export type { ScopeChange, TokenSet } from './protocol/token-set.ts'
export type { ClientAuthenticationFunction, ClientAuthenticationMethod } from './protocol/client-authentication.ts'
export type { Conform, HttpAnswer } from './protocol/token-response.ts'
export type { Parameters } from './protocol/urls.ts'
export type { LogoutResult } from './routes/logout.ts'
export type { TokenStore, StoredRecord, BeginResult, RefreshIntent } from './session/token-store.ts'
export type {
  ClientAssertionContext, ClientAssertionFunction, ClientAssertionOptions, FetchProfile, GrantType,
  IdTokenIssuerFunction, ProfileCall, ProfileCallOptions, ProfileResponse, ProviderHooks, ProviderOptions, RefreshMode,
  ResourceServer, User, UserProfile
} from './providers/types.ts'
