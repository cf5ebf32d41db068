import type { TokenMembers } from '../../oauth/token-response.ts'
import type { ProviderOptions } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `ebay`. */
export interface EbayOptions extends PresetOptions {
  /** Use eBay's sandbox, which has keys of its own. */
  sandbox?: boolean
}

/**
 * eBay: OAuth 2 without OpenID Connect; the profile comes from the Identity API.
 *
 * Facts (developer.ebay.com/api-docs/static: "Getting user consent and the authorization code grant request"
 * (oauth-auth-code-grant-request), "Using a refresh token" (oauth-refresh-token-request), "Getting your redirect_uri
 * value" (oauth-redirect-uri); developer.ebay.com/api-docs/commerce/identity/types, "Identity API"):
 * - In place of a redirect URI eBay wants a RuName, a name that it gives the app; the URL behind it is set in eBay's
 *   portal.
 * - Basic. The token type is called "User Access Token" or "Application Access Token"; both are sent as Bearer.
 * - Access tokens last two hours; a refresh token (18 months) comes without being asked for, and a refresh brings no
 *   new one.
 * - The user is asked from apiz.ebay.com, with the scope `commerce.identity.readonly` (that host and scope are from the
 *   code of clients). `userId` does not change; since September 2025 some apps get it in place of a U.S. user's
 *   `username` too.
 *
 * @param options clientId, clientSecret and the RuName as `redirectUri`; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function ebay (options: EbayOptions): ProviderOptions {
  const { sandbox = false, ...others } = optionsOf('eBay', options)
  optional('ebay', 'sandbox', sandbox, 'boolean')
  const domain = sandbox ? 'sandbox.ebay.com' : 'ebay.com'
  return preset({
    title: 'eBay',
    authorizationEndpoint: `https://auth.${domain}/oauth2/authorize`,
    tokenEndpoint: `https://api.${domain}/identity/v1/oauth2/token`,
    userinfoEndpoint: `https://apiz.${domain}/commerce/identity/v1/user/`,
    scope: ['https://api.ebay.com/oauth/api_scope', 'https://api.ebay.com/oauth/api_scope/commerce.identity.readonly'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: [`https://api.${domain}/`, `https://apiz.${domain}/`],
    profileSource: 'userinfo',
    conform,
    userProfile: ({ userId, username }) => ({ id: userId as string, name: text(username) })
  }, others)
}

function conform (answer: TokenMembers): TokenMembers {
  const odd = answer.token_type === 'User Access Token' || answer.token_type === 'Application Access Token'
  return odd ? { ...answer, token_type: 'Bearer' } : answer
}
