import { InvalidOptionsError } from '../../errors.ts'
import type { ProviderOptions } from '../options.ts'
import { members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `facebook`. */
export interface FacebookOptions extends PresetOptions {
  /** Version of the Graph API. Default `v26.0`. */
  version?: string
}

/**
 * Facebook: OAuth 2 without OpenID Connect; the profile comes from the Graph API.
 *
 * Facts (developers.facebook.com/documentation/facebook-login: "Manually build a login flow"
 * (guides/advanced/manual-flow), "Long-Lived Access Tokens" (guides/access-tokens/get-long-lived), "OIDC Code Flow with
 * PKCE" (guides/advanced/oidc-token)):
 * - The newest version of the Graph API is v26.0, of 29 July 2026 (developers.facebook.com/docs/graph-api/changelog);
 *   one lives for about two years.
 * - Scopes are separated by commas in the request.
 * - There are no refresh tokens: a user whose token has ended logs in again. A valid token can be traded for one of
 *   about 60 days (`grant_type=fb_exchange_token`); an ended one cannot.
 * - No PKCE: the dialog drops the challenge and the exchange then refuses a verifier
 *   (github.com/NangoHQ/nango/pull/7156, of August 2026, and github.com/better-auth/better-auth/issues/186); a
 *   challenge without a verifier was refused too (github.com/expo/expo/issues/15980). So neither is sent. With the
 *   scope `openid` PKCE is "still in testing".
 * - The exchange is documented as a GET; a POST keeps the secret out of URLs, and other clients do so (not verified in
 *   a page).
 * - There is no RFC 7009 endpoint. Whether an address is verified is not said.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if the version cannot be one
 */
export function facebook (options: FacebookOptions): ProviderOptions {
  const { version = 'v26.0', ...others } = optionsOf('Facebook', options)
  if (!/^v\d+\.\d+$/.test(version)) {
    const message = 'facebook() has a `version` that is none; write it like "v26.0"'
    throw new InvalidOptionsError(message, { reason: 'configuration' })
  }
  const graph = `https://graph.facebook.com/${version}`
  return preset(
    {
      title: 'Facebook',
      authorizationEndpoint: `https://www.facebook.com/${version}/dialog/oauth`,
      tokenEndpoint: `${graph}/oauth/access_token`,
      userinfoEndpoint: `${graph}/me?fields=id,name,email,picture`,
      scope: ['public_profile', 'email'],
      scopeSeparator: ',',
      clientAuthentication: 'client_secret_post',
      resourceServers: [`${graph}/`],
      pkce: false,
      // Older versions answer with a form that has no token type, and `expires` for the lifetime.
      conform: ({ expires, ...answer }) => ({
        token_type: 'Bearer',
        ...(expires !== undefined && { expires_in: expires }),
        ...answer
      }),
      profileSource: 'userinfo',
      userProfile: ({ id, name, email, picture }) => ({
        id: id as string,
        name: text(name),
        email: text(email),
        picture: text(members(members(picture).data).url)
      })
    },
    others
  )
}
