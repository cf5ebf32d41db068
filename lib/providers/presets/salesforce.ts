import { InvalidOptionsError } from '../../errors.ts'
import type { ProviderOptions } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions, serverUrl, text } from './preset.ts'

/** Options of the preset `salesforce`. */
export interface SalesforceOptions extends PresetOptions {
  /** My Domain or an Experience Cloud site, such as `example.my.salesforce.com`: its login page, and its API. */
  domain?: string
  /** Log in at test.salesforce.com. A sandbox with a My Domain is its `domain`. */
  sandbox?: boolean
}

/**
 * Salesforce: the profile comes from OpenID Connect's userinfo.
 *
 * Facts (help.salesforce.com: "OAuth Endpoints" (xcloud.remoteaccess_oauth_endpoints), "OAuth 2.0 Web Server Flow for
 * Web App Integration" (remoteaccess_oauth_web_server_flow), "OAuth 2.0 Refresh Token Flow for Renewed Sessions"
 * (remoteaccess_oauth_refresh_token_flow), "OAuth Tokens and Scopes" (xcloud.remoteaccess_oauth_tokens_scopes)):
 * - Logins are at login.salesforce.com, test.salesforce.com for sandboxes, or a My Domain. Id and secret go into the
 *   form, or Basic. PKCE is supported, and required if the app says so.
 * - Answers tell no lifetime, which the organization decides: a token is used until Salesforce answers 401, and is
 *   refreshed then. A refresh token comes for the scope `refresh_token`; whether it rotates is a setting of the app.
 * - The API is at the answer's `instance_url`, which is the organization's My Domain.
 * - ID tokens are not used: the issuer that they name follows the host of the login (reports of clients; Auth.js does
 *   not use them either). Userinfo says who logged in; its `sub` has the organization in it, so that a user of two
 *   sandboxes is two.
 * - `/services/oauth2/revoke` is RFC 7009's.
 *
 * @param options clientId (consumer key) and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function salesforce (options: SalesforceOptions): ProviderOptions {
  const { domain, sandbox, ...others } = optionsOf('Salesforce', options)
  optional('salesforce', 'domain', domain, 'text')
  optional('salesforce', 'sandbox', sandbox, 'boolean')
  if (domain !== undefined && sandbox !== undefined) {
    const message = "salesforce() takes `domain` or `sandbox`, not both; a sandbox's My Domain is a `domain`"
    throw new InvalidOptionsError(message, { reason: 'configuration' })
  }
  const server = serverUrl(domain ?? `${sandbox === true ? 'test' : 'login'}.salesforce.com`)
  return preset({
    title: 'Salesforce',
    authorizationEndpoint: `${server}/services/oauth2/authorize`,
    tokenEndpoint: `${server}/services/oauth2/token`,
    userinfoEndpoint: `${server}/services/oauth2/userinfo`,
    revocationEndpoint: `${server}/services/oauth2/revoke`,
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_post',
    ...(domain !== undefined && { resourceServers: [`${server}/services/`] }),
    profileSource: 'userinfo',
    userProfile: ({ sub, name, email, email_verified: verified, picture }) => ({
      id: sub as string,
      name: text(name),
      email: text(email),
      ...(text(email) !== undefined && typeof verified === 'boolean' && { emailVerified: verified }),
      picture: text(picture)
    })
  }, others)
}
