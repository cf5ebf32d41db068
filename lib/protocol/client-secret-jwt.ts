import { importPKCS8, SignJWT } from 'jose'

export interface ClientSecretJwt {
  teamId: string
  keyId: string
  clientId: string
  privateKey: string
  audience: string
  issuedAt: number
  expiresAt: number
}

/** Signs a client secret that is a JWT (ES256). */
export async function signClientSecret (secret: ClientSecretJwt): Promise<string> {
  const key = await importPKCS8(secret.privateKey, 'ES256')
  return await new SignJWT()
    .setProtectedHeader({ alg: 'ES256', kid: secret.keyId })
    .setIssuer(secret.teamId)
    .setSubject(secret.clientId)
    .setAudience(secret.audience)
    .setIssuedAt(secret.issuedAt)
    .setExpirationTime(secret.expiresAt)
    .sign(key)
}
