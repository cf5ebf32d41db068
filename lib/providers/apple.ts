import type { ClientAuthenticationFunction } from '../protocol/client-authentication.ts'
import { preset, required, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface AppleOptions extends PresetOptions {
  teamId: string
  keyId: string
  privateKey: string
}

const LIFE = 3600
const MARGIN = 300

export function apple ({ teamId, keyId, privateKey, ...options }: AppleOptions): ProviderOptions {
  return preset({
    title: 'Apple',
    issuer: 'https://appleid.apple.com',
    scope: ['openid', 'name', 'email'],
    responseMode: 'form_post',
    revokeAtLogout: false,
    profile: 'id_token',
    clientAuthentication: signedSecret({
      clientId: options.clientId,
      teamId: required('apple', 'teamId', teamId),
      keyId: required('apple', 'keyId', keyId),
      privateKey: required('apple', 'privateKey', privateKey)
    })
  }, options)
}

function signedSecret (identity: { clientId: string, teamId: string, keyId: string, privateKey: string }): ClientAuthenticationFunction {
  let current: { value: Promise<string>, expiresAt: number } | undefined
  return async ({ body }) => {
    const now = Math.floor(Date.now() / 1000)
    if (current === undefined || now > current.expiresAt - MARGIN) {
      const expiresAt = now + LIFE
      const value = import('../protocol/client-secret-jwt.ts').then(({ signClientSecret }) =>
        signClientSecret({ ...identity, audience: 'https://appleid.apple.com', issuedAt: now, expiresAt }))
      current = { value, expiresAt }
      value.catch(() => { current = undefined })
    }
    body.set('client_id', identity.clientId)
    body.set('client_secret', await current.value)
  }
}
