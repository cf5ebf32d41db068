import fastifyPlugin from 'fastify-plugin'
import type { AppOAuth } from './app-oauth.ts'
import * as errors from './errors.ts'
import { createDpopKey } from './oauth/dpop-key.ts'
import { codeChallenge, createCodeVerifier } from './oauth/pkce.ts'
import type { PluginOptions } from './options.ts'
import { oauthSession } from './plugin.ts'
import type { RequestOAuth } from './request-oauth.ts'
import type { SessionLogin } from './session/accounts.ts'
import { createProvider } from './standalone/create-provider.ts'

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
    oauth?: SessionLogin
  }
}

const registered = fastifyPlugin<PluginOptions>(oauthSession, {
  fastify: '5.x',
  name: 'fastify-oauth-session'
})

/** The plugin. For `require()`, it has everything that this package exports as its properties. */
const plugin = Object.assign(registered, errors, {
  createProvider,
  codeChallenge,
  createCodeVerifier,
  createDpopKey,
  default: registered,
  fastifyOAuthSession: registered
})

export default plugin
export * from './errors.ts'
export { plugin as fastifyOAuthSession, plugin as 'module.exports' }
export type { AppOAuth } from './app-oauth.ts'
export type { OAuthCall } from './calls/call.ts'
export type { CallOptions } from './calls/call-options.ts'
export type { ClientCertificateOptions } from './http/client-certificate.ts'
export type { AuthorizationDetail } from './oauth/authorization-details.ts'
export type { ClientAuthenticationFunction, ClientAuthenticationMethod } from './oauth/client-authentication.ts'
export type { ClientJwk, ClientKeyInput, ClientKeyMaterial, ClientKeyOptions } from './oauth/client-keys.ts'
export { createDpopKey, type DpopKey } from './oauth/dpop-key.ts'
export { codeChallenge, createCodeVerifier } from './oauth/pkce.ts'
export type { Conform, HttpResponse } from './oauth/token-response.ts'
export type { ScopeChange, TokenSet } from './oauth/token-set.ts'
export type { RequestParameters } from './oauth/urls.ts'
export type { LoginEvent, LogoutEvent, LogoutReason, PluginOptions, RouteOptions } from './options.ts'
export type { Link, Pages } from './pages/pages.ts'
export type { DeviceAuthorization } from './providers/device.ts'
export type { GrantOptions, TokenExchange } from './providers/grants.ts'
export type {
  ClientAssertionContext, ClientAssertionFunction, ClientAssertionOptions, FetchProfile, GrantType,
  IdTokenIssuerFunction, ProfileCall, ProfileCallOptions, ProfileResponse, ProviderHooks, ProviderOptions, RefreshMode,
  ResourceServer, User, UserProfile
} from './providers/options.ts'
// With `*`: only so can an app add to the interface by this package's name.
export type * from './providers/presets/names.ts'
export type { RequestOAuth } from './request-oauth.ts'
export type { RequireLoginOptions } from './routes/guard-options.ts'
export type { LoginOptions } from './routes/login.ts'
export type { LogoutResult } from './routes/logout.ts'
export type { SessionState } from './routes/session.ts'
export { createProvider, type StandaloneOptions, type StandaloneProvider } from './standalone/create-provider.ts'
export type { ClientCredentialsOptions, DeviceLogin, ProviderHandle } from './standalone/provider.ts'
export type {
  AuthorizationUrlOptions, FetchTokensOptions, OAuthSession, OAuthSessionInit, StartedLogin
} from './standalone/session.ts'
export type { KeptTokens, TokensInput } from './tokens/load-tokens.ts'
export type { TokensEvent } from './tokens/on-tokens.ts'
export type {
  AcquireRefreshResult, RefreshLease, StoredMember, StoredRecord, TokenStore
} from './tokens/stores/token-store.ts'
export type {
  CallbackTrace, CallTrace, ExchangeTrace, LoginTrace, LogoutTrace, RefreshTrace, StoreTrace, Trace, Traces
} from './util/tracing.ts'
