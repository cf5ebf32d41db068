import type { ProviderOptions } from '../options.ts'
import { members, optional, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `paypal`. */
export interface PaypalOptions extends PresetOptions {
  /** Use PayPal's sandbox, whose apps and accounts are its own. */
  sandbox?: boolean
}

/**
 * PayPal (Log in with PayPal): the profile comes from the Identity API.
 *
 * Facts (developer.paypal.com: "Integrate Log in with PayPal" (log-in/build, of July 2026), "Identity API"
 * (api/identity/v1)):
 * - Logins are at `/signin/authorize` with `flowEntry=static`. Basic. A return URL on one's own machine is
 *   http://127.0.0.1, not localhost.
 * - Access tokens last eight hours or so; a refresh token comes without being asked for, and a refresh brings no new
 *   one.
 * - The profile is asked for with `schema=paypalv1.1`: `user_id` is a URL that does not change, the addresses are a
 *   list with `primary` and `confirmed`.
 * - What is shared is set with the app ("Advanced Settings"), beside the scopes.
 * - ID tokens are not used: userinfo says who logged in. PKCE, RFC 7009 and the wording of a refused refresh are not in
 *   those pages.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function paypal (options: PaypalOptions): ProviderOptions {
  const { sandbox = false, ...others } = optionsOf('PayPal', options)
  const zone = optional('paypal', 'sandbox', sandbox, 'boolean') ? 'sandbox.' : ''
  const api = `https://api-m.${zone}paypal.com`
  return preset({
    title: 'PayPal',
    authorizationEndpoint: `https://www.${zone}paypal.com/signin/authorize?flowEntry=static`,
    tokenEndpoint: `${api}/v1/oauth2/token`,
    userinfoEndpoint: `${api}/v1/identity/oauth2/userinfo?schema=paypalv1.1`,
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: [`${api}/`],
    profileSource: 'userinfo',
    userProfile: ({ user_id: id, name, emails }) => {
      const list = Array.isArray(emails) ? emails.map(members) : []
      const { value, confirmed } = list.find(({ primary }) => primary === true) ?? {}
      return {
        id: id as string,
        name: text(name),
        email: text(value),
        ...(text(value) !== undefined && typeof confirmed === 'boolean' && { emailVerified: confirmed })
      }
    }
  }, others)
}
