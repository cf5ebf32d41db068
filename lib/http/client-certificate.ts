import { createPrivateKey, hash, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto'
import { withLineBreaks } from '../util/pem.ts'

/** A text in PEM, or the content of its file. */
type Pem = string | Uint8Array

/** The TLS certificate of the client, in PEM. */
export interface ClientCertificateOptions {
  /** The certificate, followed by the intermediate certificates of its chain. */
  cert: Pem
  /** Its private key. */
  key: Pem
  /** Decrypts an encrypted `key`. */
  passphrase?: string
  /** The authorities whose server certificates are trusted, in place of those that Node.js trusts. */
  ca?: Pem | readonly Pem[]
}

/** A certificate that has been read and checked. */
export interface ClientCertificate extends Readonly<ClientCertificateOptions> {
  /** Epoch seconds. */
  readonly expiresAt: number
}

/**
 * Reads a client certificate and checks that the key is its own. The texts that are reported show nothing of either.
 * @param report gets what is wrong: the member and a text
 */
export function parseClientCertificate (
  { cert, key, passphrase, ca }: ClientCertificateOptions, report: (member: string, problem: string) => void = () => {}
): ClientCertificate | undefined {
  const pem = { cert: textOf(cert), key: textOf(key) }
  const certificate = pem.cert === undefined ? undefined : readCertificate(pem.cert)
  if (certificate === undefined) report('cert', 'is no certificate; write it as PEM, from -----BEGIN CERTIFICATE-----')
  const privateKey = readKey(pem.key, passphrase, report)
  const authorities = ca === undefined ? undefined : [ca as Pem].flat().map(textOf)
  if (authorities?.some(one => one === undefined || readCertificate(one) === undefined)) {
    report('ca', 'is no certificate, or no list of them; write them as PEM')
    return undefined
  }
  if (certificate === undefined || privateKey === undefined) return undefined
  if (!certificate.checkPrivateKey(privateKey)) {
    report('key', 'does not belong to the first certificate in `cert`; the chain comes after the client\'s own')
    return undefined
  }
  return Object.freeze({
    cert: pem.cert!,
    key: pem.key!,
    ...(passphrase !== undefined && { passphrase }),
    ...(authorities !== undefined && { ca: authorities as string[] }),
    expiresAt: Math.floor(Date.parse(certificate.validTo) / 1000)
  })
}

/**
 * The certificate as a JWK, by which a provider knows a self-signed one (RFC 8705, section 2.2.2; RFC 7517, sections
 * 4.7 and 4.9).
 */
export function certificateJwk ({ cert }: ClientCertificate): JsonWebKey & { kty: string, kid: string, use: 'sig' } {
  const { publicKey, raw } = new X509Certificate(cert as string)
  const thumbprint = hash('sha256', raw, 'base64url')
  const jwk = publicKey.export({ format: 'jwk' }) as JsonWebKey & { kty: string }
  return { ...jwk, kid: thumbprint, use: 'sig', x5c: [raw.toString('base64')], 'x5t#S256': thumbprint }
}

function textOf (pem: unknown): string | undefined {
  if (typeof pem === 'string') return withLineBreaks(pem)
  return pem instanceof Uint8Array ? Buffer.from(pem).toString('latin1') : undefined
}

function readCertificate (pem: string): X509Certificate | undefined {
  try {
    return pem.includes('-----BEGIN') ? new X509Certificate(pem) : undefined
  } catch {
    return undefined
  }
}

function readKey (
  key: string | undefined, passphrase: unknown, report: (member: string, problem: string) => void
): KeyObject | undefined {
  if (passphrase !== undefined && typeof passphrase !== 'string') {
    report('passphrase', 'must be a string')
    return undefined
  }
  if (key?.includes('-----BEGIN') === true) {
    try {
      return createPrivateKey({ key, ...(passphrase !== undefined && { passphrase }) })
    } catch {
      if (/ENCRYPTED/.test(key)) {
        report('key', passphrase === undefined
          ? 'is encrypted; write its `passphrase`'
          : 'is encrypted, and `passphrase` does not open it')
        return undefined
      }
    }
  }
  report('key', 'is no private key; write it as PEM, from -----BEGIN PRIVATE KEY-----')
  return undefined
}
