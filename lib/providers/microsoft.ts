import { preset, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface MicrosoftOptions extends PresetOptions {
  tenant?: string
}

const GUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i
const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad'

export function microsoft ({ tenant = 'common', ...options }: MicrosoftOptions): ProviderOptions {
  const base = `https://login.microsoftonline.com/${tenant}`
  return preset({
    title: 'Microsoft',
    authorizationEndpoint: `${base}/oauth2/v2.0/authorize`,
    tokenEndpoint: `${base}/oauth2/v2.0/token`,
    endSessionEndpoint: `${base}/oauth2/v2.0/logout`,
    jwksUri: `${base}/discovery/v2.0/keys`,
    idTokenIssuer: issuerOf(tenant),
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://graph.microsoft.com/v1.0/'],
    profile: 'id_token'
  }, options)
}

function issuerOf (tenant: string): NonNullable<ProviderOptions['idTokenIssuer']> {
  const issuer = (id: string) => `https://login.microsoftonline.com/${id}/v2.0`
  if (GUID.test(tenant)) return issuer(tenant)
  return (iss, { tid }) => {
    if (typeof tid !== 'string' || !GUID.test(tid) || iss !== issuer(tid)) return false
    return tenant === 'consumers' ? tid === PERSONAL : tenant === 'organizations' ? tid !== PERSONAL : true
  }
}
