import { createPrivateKey } from 'node:crypto'
import { InvalidOptionsError } from '../../errors.ts'
import type { AppleClientSecretOptions } from '../../oauth/apple-client-secret.ts'
import type { ClientAuthenticationFunction } from '../../oauth/client-authentication.ts'
import { withLineBreaks } from '../../util/pem.ts'
import type { ProviderOptions } from '../options.ts'
import { optionsOf, preset, type PresetOptions, required } from './preset.ts'

/** Options of the preset `apple`. */
export interface AppleOptions extends PresetOptions {
  /** Ten characters, from your membership's page. */
  teamId: string
  /** Ten characters: the id of the key for Sign in with Apple. */
  keyId: string
  /** What is in the key's `.p8` file. */
  privateKey: string
}

const ISSUER = 'https://appleid.apple.com'
const OTHER_NAME = 'https://account.apple.com'

/**
 * Apple: OpenID Connect; `clientId` is the Services ID.
 *
 * Facts (developer.apple.com/documentation/signinwithapplerestapi: "Request an authorization to the Sign in with Apple
 * server", "Token validation" (generate-and-validate-tokens), "Token revocation" (revoke-tokens); signinwithapple,
 * "Verifying a user"; appleid.apple.com/.well-known/openid-configuration):
 * - The endpoints are written here, and no metadata is asked: for a day in June 2025 its issuer was
 *   `https://account.apple.com` while tokens kept `https://appleid.apple.com`
 *   (developer.apple.com/forums/thread/787645; github.com/supabase/auth/issues/2051). Both are names of the one issuer,
 *   whose keys are at Apple's.
 * - A user who cancels comes back with the error `user_cancelled_authorize`, which counts as `access_denied`.
 * - The client secret is a JWT that the app signs (ES256) with its key: `iss` the team, `sub` the client, `aud` Apple,
 *   at most six months. It is made here, for an hour, and made anew before its end; no `clientSecret` is given.
 * - With the scopes `name` or `email` the browser comes back with a POST. So the app has to be on https: the cookie of
 *   the login must be `SameSite=None`.
 * - The name is in no token. It comes once, in the field `user` (JSON) of the first POST: `request.oauth.user` never
 *   has it. `onLogin` can read it from `request.body`; it is not signed, so it is the user's own word.
 * - Some addresses are relays. `email_verified` may be text, and is false if an organization manages the account
 *   ("Sign in with Apple at Work & School").
 * - Revoking ends the user's whole authorization of the app, so logout revokes nothing. There is no userinfo and no
 *   API.
 * - Each code exchange brings a refresh token, which does not expire
 *   (developer.apple.com/forums/thread/656845); a refresh brings no new one. Apple may throttle who refreshes a user's
 *   more than once a day, and nothing needs its access tokens.
 * - PKCE is not in those pages. That its parameters do no harm is not verified; `pkce: false` leaves them out.
 *
 * @param options clientId, teamId, keyId and privateKey; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if one of the four is missing, or the key is none
 */
export function apple (options: AppleOptions): ProviderOptions {
  const { teamId, keyId, privateKey, ...others } = optionsOf('Apple', options)
  return preset({
    title: 'Apple',
    authorizationEndpoint: `${ISSUER}/auth/authorize`,
    tokenEndpoint: `${ISSUER}/auth/token`,
    revocationEndpoint: `${ISSUER}/auth/revoke`,
    jwksUri: `${ISSUER}/auth/keys`,
    idTokenIssuer: [ISSUER, OTHER_NAME],
    scope: ['openid', 'name', 'email'],
    responseMode: 'form_post',
    revokeAtLogout: false,
    profileSource: 'id_token',
    clientAuthentication: others.clientAuthentication ?? signedSecret({
      issuer: required('apple', 'teamId', teamId),
      keyId: required('apple', 'keyId', keyId),
      privateKey: signingKey(required('apple', 'privateKey', privateKey)),
      clientId: others.clientId,
      audience: ISSUER
    })
  }, others)
}

// Checked when the app starts, not at the first login. The error shows nothing of the key.
function signingKey (privateKey: string): string {
  const pem = withLineBreaks(privateKey)
  try {
    const isPem = pem.includes('BEGIN PRIVATE KEY')
    if (isPem && createPrivateKey(pem).asymmetricKeyDetails?.namedCurve === 'prime256v1') return pem
  } catch { /* reported below */ }
  throw new InvalidOptionsError('apple() takes the text of the key\'s .p8 file as `privateKey`, from BEGIN PRIVATE ' +
    'KEY to END PRIVATE KEY, and it is something else', { reason: 'configuration' })
}

function signedSecret (options: AppleClientSecretOptions): ClientAuthenticationFunction {
  let secretAt: Promise<(now: number) => Promise<string>> | undefined
  return async ({ body }) => {
    // jose is loaded by the first login.
    secretAt ??= import('../../oauth/apple-client-secret.ts').then(module => module.appleClientSecret(options))
    body.set('client_id', options.clientId)
    body.set('client_secret', await (await secretAt)(Date.now() / 1000))
  }
}
