/**
 * The names of an app's providers, for an app that wants the compiler to know them:
 * `declare module 'fastify-oauth-session' { interface OAuthProviders { acme: true } }`.
 */
export interface OAuthProviders {}

/** A provider's name: one of `OAuthProviders` if an app has listed them, any string if not. */
export type ProviderName = keyof OAuthProviders extends never ? string : Extract<keyof OAuthProviders, string>
