import { InvalidOptionsError } from '../../errors.ts'
import type { TokenMembers } from '../../oauth/token-response.ts'
import type { ProviderOptions } from '../options.ts'
import { members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `mailchimp`. */
export interface MailchimpOptions extends PresetOptions {
  /**
   * Data centers whose API the token may go to. Default `us1` to `us50`; which one is a user's is in
   * `request.oauth.user.raw.dc`.
   */
  dataCenters?: readonly string[]
}

const DATA_CENTERS = Array.from({ length: 50 }, (_, index) => `us${index + 1}`)

/**
 * Mailchimp (Marketing API): OAuth 2 without OpenID Connect or scopes; the profile comes from the metadata endpoint.
 *
 * Facts (mailchimp.com/developer/marketing/guides/access-user-data-oauth-2, formerly
 * developer.mailchimp.com/documentation/mailchimp/guides/how-to-use-oauth2, "How to Use OAuth2"):
 * - Tokens do not expire, there are no refresh tokens, and the answer says `expires_in: 0` and `scope: null`: 0 is no
 *   end.
 * - The base of the API differs from account to account: `GET /oauth2/metadata` tells it (`dc`, `api_endpoint`). It is
 *   asked at login, so `${user.raw.api_endpoint}/3.0/` is where calls go. How many data centers there are is not
 *   verified. Of the user it tells `login.login_id`, `login_name`, `login_email` and `email`; which of the two
 *   addresses is there differs.
 * - The guide asks the metadata endpoint with `Authorization: OAuth`; Bearer is what Auth.js sends (not verified in a
 *   page).
 * - There is no RFC 7009 endpoint in that page.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function mailchimp (options: MailchimpOptions): ProviderOptions {
  const { dataCenters = DATA_CENTERS, ...others } = optionsOf('Mailchimp', options)
  if (!Array.isArray(dataCenters) || !dataCenters.every(name => /^\w+$/.test(name))) {
    throw new InvalidOptionsError('mailchimp() takes a list of names like "us6" as `dataCenters`', {
      reason: 'configuration'
    })
  }
  return preset(
    {
      title: 'Mailchimp',
      authorizationEndpoint: 'https://login.mailchimp.com/oauth2/authorize',
      tokenEndpoint: 'https://login.mailchimp.com/oauth2/token',
      userinfoEndpoint: 'https://login.mailchimp.com/oauth2/metadata',
      clientAuthentication: 'client_secret_post',
      resourceServers: dataCenters.map(name => `https://${name}.api.mailchimp.com/3.0/`),
      profileSource: 'userinfo',
      conform,
      userProfile: ({ accountname, login }) => ({
        id: members(login).login_id as string,
        name: text(members(login).login_name) ?? text(accountname),
        email: text(members(login).login_email) ?? text(members(login).email),
        picture: text(members(login).avatar)
      })
    },
    others
  )
}

// In a stored set, `expires_in: 0` would mean that the token has expired; here it means that it does not expire.
function conform ({ scope, expires_in: life, ...answer }: TokenMembers): TokenMembers {
  return {
    ...answer,
    ...(life !== 0 && life !== '0' && life !== undefined && { expires_in: life }),
    ...(scope !== null && scope !== undefined && { scope })
  }
}
