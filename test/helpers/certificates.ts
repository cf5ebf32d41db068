import { readFileSync } from 'node:fs'

/** A file of `certificates/`, which `make.sh` there has made. */
const pem = (file: string) => readFileSync(new URL(`./certificates/${file}`, import.meta.url), 'utf8')
const pair = (name: string) => ({ cert: pem(`${name}.pem`), key: pem(`${name}.key`), ca: pem('ca.pem') })

/** The authority that has signed all of them but the self-signed one. */
export const authority = pem('ca.pem')
/** TLS settings of a server at 127.0.0.1 and localhost. */
export const serverTls = { cert: pem('server.pem'), key: pem('server.key'), ca: authority }
/** Certificates of clients, as `clientCertificate` takes them. */
export const clientCertificates = {
  app: pair('client'),
  /** The same, its key encrypted. */
  encrypted: { ...pair('client'), key: pem('encrypted.key'), passphrase: 'passphrase' },
  /** With an intermediate authority after it. */
  chained: pair('chained'),
  other: pair('other'),
  selfSigned: pair('self-signed'),
  /** Since 2021. */
  expired: pair('expired')
}
