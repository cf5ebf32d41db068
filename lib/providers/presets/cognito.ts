import { InvalidOptionsError } from '../../errors.ts'
import type { ProviderOptions } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions, required, serverUrl } from './preset.ts'

/** Options of the preset `cognito`. */
export interface CognitoOptions extends PresetOptions {
  /** The user pool's domain, such as `example.auth.eu-west-1.amazoncognito.com`, or a domain of your own. */
  domain: string
  /** Such as `eu-west-1`. */
  region: string
  /** Such as `eu-west-1_AbCdEfGhI`. */
  userPoolId: string
  /**
   * The pool's issuer configuration: `UPDATED` for `https://issuer-cognito-idp.{region}.amazonaws.com/{userPoolId}`.
   * Without it ID tokens of both are taken.
   */
  issuerType?: 'ORIGINAL' | 'UPDATED'
  /**
   * Where Cognito's logout sends the browser: one of the app client's allowed sign-out URLs. Without it the user stays
   * logged in there.
   */
  logoutUri?: string
}

/**
 * Amazon Cognito (user pools): OpenID Connect.
 *
 * Facts (docs.aws.amazon.com/cognito/latest/developerguide: "The token issuer endpoint" (token-endpoint), "The token
 * revocation endpoint" (revocation-endpoint), "The managed login sign-out endpoint" (logout-endpoint), "Verifying a
 * JSON Web Token" (amazon-cognito-user-pools-using-tokens-verifying-a-jwt);
 * cognito-user-identity-pools/latest/APIReference, "IssuerConfigurationType" (API_IssuerConfigurationType)):
 * - Login is on the pool's domain; the issuer is `https://cognito-idp.{region}.amazonaws.com/{userPoolId}`
 *   (`ORIGINAL`), or with the issuer configuration `UPDATED` the same at `issuer-cognito-idp`. Keys are below the
 *   issuer, the same ones in all regions; that an `UPDATED` pool has them at the original place as well is not in those
 *   pages: `issuerType` says where to look.
 * - Basic for clients with a secret. A refresh token comes with each code exchange; a refresh brings none, unless
 *   rotation is on.
 * - Revoking takes refresh tokens, and ends the access tokens made from them.
 * - The logout is no OpenID Connect one: it takes `client_id` and `logout_uri`, and hands no `state` back. So the
 *   browser is sent straight to `logoutUri`, and not by way of the plugin's own route. That the standard parameters
 *   beside it do no harm is not in that page; github.com/jenkinsci/oic-auth-plugin/issues/95 has it working like that.
 *
 * @param options clientId, clientSecret, domain, region and userPoolId; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if one of the last three is missing, or issuerType is another word
 */
export function cognito (options: CognitoOptions): ProviderOptions {
  const { domain, region, userPoolId, issuerType, logoutUri, ...others } = optionsOf('Amazon Cognito', options)
  optional('cognito', 'logoutUri', logoutUri, 'text')
  const server = serverUrl(required('cognito', 'domain', domain))
  if (issuerType !== undefined && issuerType !== 'ORIGINAL' && issuerType !== 'UPDATED') {
    const message = 'cognito() takes "ORIGINAL" or "UPDATED" as `issuerType`'
    throw new InvalidOptionsError(message, { reason: 'configuration' })
  }
  const pool = required('cognito', 'userPoolId', userPoolId)
  const place = `${required('cognito', 'region', region)}.amazonaws.com/${pool}`
  const original = `https://cognito-idp.${place}`
  const updated = `https://issuer-cognito-idp.${place}`
  const issuer = issuerType === 'UPDATED' ? updated : original
  return preset(
    {
      title: 'Amazon Cognito',
      authorizationEndpoint: `${server}/oauth2/authorize`,
      tokenEndpoint: `${server}/oauth2/token`,
      userinfoEndpoint: `${server}/oauth2/userInfo`,
      revocationEndpoint: `${server}/oauth2/revoke`,
      ...(logoutUri !== undefined && {
        endSessionEndpoint: `${server}/logout?logout_uri=${encodeURIComponent(logoutUri)}`
      }),
      jwksUri: `${issuer}/.well-known/jwks.json`,
      idTokenIssuer: issuerType === undefined ? [original, updated] : issuer,
      scope: ['openid', 'profile', 'email'],
      clientAuthentication: 'client_secret_basic'
    },
    others
  )
}
