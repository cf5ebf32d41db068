import type { ProviderOptions } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions, required, serverUrl } from './preset.ts'

/** Options of the preset `okta`. */
export interface OktaOptions extends PresetOptions {
  /** The organization's domain, such as `example.okta.com`. */
  domain: string
  /** Id of a custom authorization server, or false for the organization's own. Default `default`. */
  authorizationServer?: string | false
}

/**
 * Okta: OpenID Connect.
 *
 * Facts (developer.okta.com/docs: "Authorization Servers" (concepts/auth-servers), "Refresh access tokens"
 * (guides/refresh-tokens), "Build a JWT for Client Authentication" (guides/build-self-signed-jwt), "/revoke"
 * (api/openapi/okta-oauth/oauth)):
 * - The issuer is `https://{domain}/oauth2/{authorizationServer}`, or `https://{domain}` for the organization's own
 *   server, whose access tokens are for Okta's API alone. Custom ones, `default` among them, exist only in
 *   organizations with API Access Management: others need `authorizationServer: false`.
 * - The `aud` of a client assertion is the URL of the endpoint that it is sent to; `exp` is at most an hour away.
 * - Refresh tokens come for the scope `offline_access` if the app's grant types have them. Web apps keep theirs;
 *   rotation can be switched on, with a grace of 0 to 60 seconds.
 * - A client revokes its own tokens; revoking ends that token.
 *
 * @param options clientId, clientSecret and domain; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if domain is missing
 */
export function okta (options: OktaOptions): ProviderOptions {
  const { domain, authorizationServer = 'default', ...others } = optionsOf('Okta', options)
  if (authorizationServer !== false) optional('okta', 'authorizationServer', authorizationServer, 'text')
  // Its assertions are signed here: a function for the audience must not be taken for one that signs elsewhere.
  const { clientAuthentication: method, clientAssertion, clientKeys } = others
  if (method === 'private_key_jwt' && clientAssertion === undefined && clientKeys === undefined) {
    required('okta', 'clientKeys', clientKeys)
  }
  const server = serverUrl(required('okta', 'domain', domain))
  return preset({
    title: 'Okta',
    issuer: authorizationServer === false ? server : `${server}/oauth2/${encodeURIComponent(authorizationServer)}`,
    scope: ['openid', 'profile', 'email'],
    clientAssertion: ({ endpoint }) => ({ audience: endpoint })
  }, others)
}
