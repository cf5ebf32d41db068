import type { TokenMembers } from '../protocol/token-response.ts'
import { members, preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

/**
 * Fitbit: OAuth 2 without OpenID Connect; the profile comes from the Web API. It ends on 2 November 2026: API and OAuth endpoints
 * answer 410 from then on (developers.google.com/health/about, "About the Google Health API"). What replaces it is Google's, with
 * Google's logins: see the preset `google`.
 *
 * Facts (dev.fitbit.com/build/reference/web-api: "Authorization" (developer-guide/authorization), "OAuth2 Token", "Refresh Token"
 * and "Revoke Token" (authorization)):
 * - PKCE is recommended. Server apps authenticate with Basic, client apps with their id.
 * - Access tokens last eight hours; a refresh token comes without being asked for, and a new one with each refresh.
 * - Revoking a token revokes all tokens of that user, other sessions' too: logout revokes nothing.
 * - Errors stand in a list, as `errorType` and `message` (not in those pages; as requests-oauthlib reads them).
 * - The profile stands under `user`, without an address (not verified; scope `profile`).
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 */
export function fitbit (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Fitbit',
    authorizationEndpoint: 'https://www.fitbit.com/oauth2/authorize',
    tokenEndpoint: 'https://api.fitbit.com/oauth2/token',
    revocationEndpoint: 'https://api.fitbit.com/oauth2/revoke',
    userinfoEndpoint: 'https://api.fitbit.com/1/user/-/profile.json',
    scope: ['profile'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: ['https://api.fitbit.com/'],
    revokeAtLogout: false,
    profile: 'userinfo',
    conform,
    userProfile: ({ user }) => {
      const { encodedId, fullName, displayName, avatar } = members(user)
      return { id: encodedId as string, name: text(fullName) ?? text(displayName), picture: text(avatar) }
    }
  }, options)
}

function conform (answer: TokenMembers): TokenMembers {
  const { errorType, message } = members(Array.isArray(answer.errors) ? answer.errors[0] : undefined)
  return typeof errorType === 'string' ? { ...answer, error: errorType, error_description: message } : answer
}
