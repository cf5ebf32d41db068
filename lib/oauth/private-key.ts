import { createPrivateKey, type JsonWebKey, KeyObject, sign, verify } from 'node:crypto'
import type { CryptoKey, JWK } from 'jose'
import { withLineBreaks } from '../util/pem.ts'

/** What is wrong with a key; the message shows nothing of it. */
export class KeyProblem extends Error {}

/** Bits that the modulus of an RSA key has at least (RFC 7518, sections 3.3 and 4.2). */
const MIN_MODULUS = 2048
const WRITE_ONE = 'write a private key as PEM, JWK or KeyObject'

/**
 * Reads a private key.
 * @throws KeyProblem
 */
export function readPrivateKey (material: unknown): KeyObject {
  if (material instanceof KeyObject) return privateHalf(material)
  if (isCryptoKey(material)) return privateHalf(KeyObject.from(material))
  if (typeof material === 'string') return readPem(material)
  if (!isJwk(material)) throw new KeyProblem(`is no private key; ${WRITE_ONE}`)
  if (material.kty === 'oct') throw new KeyProblem(`is a secret, and no key pair; ${WRITE_ONE}`)
  if (material.d === undefined) throw new KeyProblem('is a public key; write the private one')
  try {
    return createPrivateKey({ key: material as JsonWebKey, format: 'jwk' })
  } catch {
    throw new KeyProblem('cannot be read as a private JWK; its members are incomplete or do not fit together')
  }
}

function privateHalf (key: KeyObject): KeyObject {
  if (key.type === 'private') return key
  throw new KeyProblem(key.type === 'public'
    ? 'is a public key; write the private one'
    : `is a secret, and no key pair; ${WRITE_ONE}`)
}

function readPem (text: string): KeyObject {
  const pem = withLineBreaks(text)
  const labels = [...pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map(([, label]) => label!)
  const keys = labels.filter(label => label.endsWith('KEY'))
  if (labels.length === 0) throw new KeyProblem(`is no PEM: it has no -----BEGIN PRIVATE KEY-----; ${WRITE_ONE}`)
  if (keys.length === 0) throw new KeyProblem(`is a PEM without a key; ${WRITE_ONE}`)
  if (keys.length > 1) throw new KeyProblem('is a PEM with several keys; write each as an entry of its own')
  if (keys[0]!.endsWith('PUBLIC KEY')) throw new KeyProblem('is a public key; write the private one')
  if (keys[0] === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type:.*ENCRYPTED/m.test(pem)) {
    throw new KeyProblem('is an encrypted PEM; write createPrivateKey({ key, passphrase }) of node:crypto')
  }
  const [, block] = /(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?-----END [A-Z0-9 ]*PRIVATE KEY-----)/s.exec(pem) ?? []
  try {
    return createPrivateKey(block ?? pem)
  } catch {
    throw new KeyProblem('cannot be read as a private key in PEM (PKCS#8, PKCS#1 or SEC 1)')
  }
}

/**
 * Refuses a short RSA key, and a JWK with the private half of one key and the public half of another one.
 * @throws KeyProblem
 */
export function assertUsable (key: KeyObject, publicKey: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: { modulusLength = MIN_MODULUS } = {} } = key
  if (modulusLength < MIN_MODULUS) {
    throw new KeyProblem(`is an RSA key of ${modulusLength} bits; use one of ${MIN_MODULUS} at least`)
  }
  // No key for signatures: its public half is computed from the private one.
  if (type === 'x25519') return
  const digest = type === 'ed25519' ? null : 'sha256'
  const sample = Buffer.from('clientKeys')
  try {
    if (verify(digest, sample, publicKey, sign(digest, sample, key))) return
  } catch { /* reported below */ }
  throw new KeyProblem('has a private half that does not belong to its public one')
}

export const isJwk = (value: unknown): value is JWK => typeof value === 'object' && value !== null && 'kty' in value

export const isCryptoKey = (value: unknown): value is CryptoKey =>
  typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object CryptoKey]'
