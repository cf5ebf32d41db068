import { preset, required, serverUrl, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface CognitoOptions extends PresetOptions {
  domain: string
  region: string
  userPoolId: string
  logoutUri?: string
}

export function cognito ({ domain, region, userPoolId, logoutUri, ...options }: CognitoOptions): ProviderOptions {
  const server = serverUrl(required('cognito', 'domain', domain))
  const pool = `https://cognito-idp.${required('cognito', 'region', region)}.amazonaws.com/${required('cognito', 'userPoolId', userPoolId)}`
  return preset({
    title: 'Amazon Cognito',
    authorizationEndpoint: `${server}/oauth2/authorize`,
    tokenEndpoint: `${server}/oauth2/token`,
    userinfoEndpoint: `${server}/oauth2/userInfo`,
    revocationEndpoint: `${server}/oauth2/revoke`,
    jwksUri: `${pool}/.well-known/jwks.json`,
    idTokenIssuer: pool,
    scope: ['openid', 'profile', 'email'],
    ...(logoutUri !== undefined && { endSessionEndpoint: `${server}/logout?logout_uri=${encodeURIComponent(logoutUri)}` })
  }, options)
}
