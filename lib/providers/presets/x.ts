import { parseScope } from '../../oauth/token-set.ts'
import type { ProviderOptions } from '../options.ts'
import { members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/**
 * X: OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (docs.x.com: "OAuth 2.0 Authorization Code Flow with PKCE"
 * (fundamentals/authentication/oauth-2-0/authorization-code and user-access-token), "Authenticated User Lookup"
 * (x-api/users/lookup/quickstart/authenticated-lookup), "Data dictionary" (x-api/fundamentals/data-dictionary)):
 * - PKCE is required. Confidential clients authenticate with Basic, public ones with their id.
 * - Access tokens last two hours; a refresh token comes for the scope `offline.access`.
 * - Users are asked for with `tweet.read` and `users.read`; the answer stands under `data`. With the scope
 *   `users.email`, which the app must have been given, the address is `confirmed_email`, which the user has confirmed
 *   with X: it counts as verified.
 * - A redirect URI on one's own machine is http://127.0.0.1, not localhost (fundamentals/developer-apps, "Apps").
 * - Tokens are revoked at `/2/oauth2/revoke`. That a refresh token is good for one use is not verified.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function x (options: PresetOptions): ProviderOptions {
  const checked = optionsOf('X', options)
  const withEmail = parseScope(checked.scope)?.includes('users.email')
  return preset(
    {
      title: 'X',
      authorizationEndpoint: 'https://x.com/i/oauth2/authorize',
      tokenEndpoint: 'https://api.x.com/2/oauth2/token',
      revocationEndpoint: 'https://api.x.com/2/oauth2/revoke',
      userinfoEndpoint: 'https://api.x.com/2/users/me?user.fields=profile_image_url' +
        (withEmail ? ',confirmed_email' : ''),
      scope: ['tweet.read', 'users.read'],
      clientAuthentication: 'client_secret_basic',
      resourceServers: ['https://api.x.com/2/'],
      profileSource: 'userinfo',
      userProfile: ({ data }) => {
        const { id, name, username, profile_image_url: picture, confirmed_email: email } = members(data)
        const address = text(email)
        return {
          id: id as string,
          name: text(name) ?? text(username),
          ...(address !== undefined && { email: address, emailVerified: true }),
          picture: text(picture)
        }
      }
    },
    checked
  )
}
