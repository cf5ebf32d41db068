import { members, preset, text, withoutVerifier, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface FacebookOptions extends PresetOptions {
  /** Version of the Graph API. Default `v25.0`. */
  version?: string
}

/**
 * Facebook: OAuth 2 without OpenID Connect; the profile comes from the Graph API.
 *
 * Facts (developers.facebook.com/documentation/facebook-login: "Manually build a login flow" (guides/advanced/manual-flow),
 * "Long-Lived Access Tokens" (guides/access-tokens/get-long-lived)):
 * - Scopes are separated by commas in the request.
 * - There are no refresh tokens: a user whose token has ended logs in again. A valid token can be traded for one of about 60 days
 *   (`grant_type=fb_exchange_token`); an ended one cannot.
 * - The dialog takes no notice of PKCE, and the exchange then refuses a `code_verifier` ("code_verifier param is provided without
 *   a code_challenge"; reports of better-auth and of Nango, github.com/NangoHQ/nango/pull/7156): it is left out.
 * - The exchange is documented as a GET; a POST keeps the secret out of URLs, and other clients do so (not verified in a page).
 * - There is no RFC 7009 endpoint. Whether an address is verified is not said.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 */
export function facebook ({ version = 'v25.0', ...options }: FacebookOptions): ProviderOptions {
  const graph = `https://graph.facebook.com/${version}`
  return preset({
    title: 'Facebook',
    authorizationEndpoint: `https://www.facebook.com/${version}/dialog/oauth`,
    tokenEndpoint: `${graph}/oauth/access_token`,
    userinfoEndpoint: `${graph}/me?fields=id,name,email,picture`,
    scope: ['public_profile', 'email'],
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: [`${graph}/`],
    hooks: withoutVerifier,
    // Older versions answer with `expires` alone.
    conform: ({ expires, ...answer }) => expires === undefined ? answer : { token_type: 'Bearer', expires_in: expires, ...answer },
    profile: 'userinfo',
    userProfile: ({ id, name, email, picture }) => ({
      id: id as string,
      name: text(name),
      email: text(email),
      picture: text(members(members(picture).data).url)
    })
  }, options)
}
