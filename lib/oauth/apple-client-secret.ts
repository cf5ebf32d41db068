import { importPKCS8, SignJWT } from 'jose'

/** The claims and the key of a client secret that is a signed JWT. */
export interface AppleClientSecretOptions {
  /** `iss`: the team. */
  issuer: string
  /** `sub`: the client. */
  clientId: string
  /** `aud`: Apple. */
  audience: string
  /** `kid` of the header. */
  keyId: string
  /** PKCS#8 in PEM, on the curve P-256. */
  privateKey: string
}

/** Seconds that a secret is valid. */
const LIFE = 3600
/** Seconds before its end from which a new one is made: clocks differ, and a request takes time. */
const MARGIN = 600

/**
 * Makes the client secrets that Apple asks for, which are signed JWTs (ES256). One is used until near its end.
 * @returns a function from the time (epoch seconds) to the secret of that time
 */
export function appleClientSecret (options: AppleClientSecretOptions): (now: number) => Promise<string> {
  let current: { secret: Promise<string>, until: number } | undefined
  return (now) => {
    const fresh = current !== undefined && now < current.until && now >= current.until - LIFE + MARGIN
    if (!fresh) {
      const secret = sign(options, Math.floor(now))
      current = { secret, until: now + LIFE - MARGIN }
      secret.catch(() => { current = undefined })
    }
    return current!.secret
  }
}

async function sign (
  { issuer, clientId, audience, keyId, privateKey }: AppleClientSecretOptions, now: number
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
