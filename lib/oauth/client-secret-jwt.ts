import { importPKCS8, SignJWT } from 'jose'

/** Who signs a client secret, and for whom. */
export interface ClientSecretIdentity {
  /** `iss`: whom the key belongs to. */
  issuer: string
  /** `sub`: the client. */
  clientId: string
  audience: string
  keyId: string
  /** PKCS#8 in PEM, on the curve P-256. */
  privateKey: string
}

/** Seconds that a secret is good for. */
const LIFE = 3600
/** Seconds before its end from which a new one is made: clocks differ, and a request takes its time. */
const MARGIN = 600

/**
 * Makes client secrets that are signed JWTs (ES256): one is used until it nears its end, then a new one is signed.
 * @returns a function from the time (epoch seconds) to the secret of that time
 */
export function clientSecretJwt (identity: ClientSecretIdentity): (now: number) => Promise<string> {
  let current: { secret: Promise<string>, until: number } | undefined
  return (now) => {
    const fresh = current !== undefined && now < current.until && now >= current.until - LIFE + MARGIN
    if (!fresh) {
      const secret = sign(identity, Math.floor(now))
      current = { secret, until: now + LIFE - MARGIN }
      secret.catch(() => { current = undefined })
    }
    return current!.secret
  }
}

async function sign (
  { issuer, clientId, audience, keyId, privateKey }: ClientSecretIdentity,
  now: number
): Promise<string> {
  const key = await importPKCS8(privateKey, 'ES256')
  return await new SignJWT()
    .setProtectedHeader({ alg: 'ES256', kid: keyId })
    .setIssuer(issuer)
    .setSubject(clientId)
    .setAudience(audience)
    .setIssuedAt(now)
    .setExpirationTime(now + LIFE)
    .sign(key)
}
