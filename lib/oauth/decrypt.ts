import { compactDecrypt, decodeProtectedHeader, errors } from 'jose'
import type { OAuthErrorReason } from '../errors.ts'
import type { ClientKey } from './client-keys.ts'

/**
 * The accepted content encryptions (RFC 7518, section 5.1). Those of the key are the key's own `algorithms`: RSA-OAEP
 * and ECDH-ES; never `dir`, PBES2 or RSA1_5, with which no key of the client's alone decides.
 */
const CONTENT = ['A128GCM', 'A192GCM', 'A256GCM', 'A128CBC-HS256', 'A192CBC-HS384', 'A256CBC-HS512']

/** Why a JWE could not be decrypted; the caller says what it is. */
export class DecryptionError extends Error {
  readonly reason: OAuthErrorReason

  constructor (reason: OAuthErrorReason, message: string, cause?: unknown) {
    super(message, { cause })
    this.reason = reason
  }
}

/**
 * Decrypts what the provider has encrypted for the client (RFC 7516, section 5.2), with the key that its `kid` names;
 * if it names none of these, with each that fits.
 * @param keys the client's
 * @returns the text inside: a JWT that is signed, or claims as JSON
 * @throws DecryptionError
 */
export async function decryptCompact (jwe: string, keys: readonly ClientKey[]): Promise<string> {
  const candidates = candidatesFor(jwe, keys)
  let failure: unknown
  for (const { key, algorithms } of candidates) {
    try {
      const { plaintext } = await compactDecrypt(jwe, key, {
        keyManagementAlgorithms: [...algorithms],
        contentEncryptionAlgorithms: CONTENT,
        // Compression can reveal a secret in the text, and a small text may become a large one.
        maxDecompressedLength: 0
      })
      return Buffer.from(plaintext).toString('utf8')
    } catch (error) {
      failure = error
    }
  }
  if (failure instanceof errors.JOSEAlgNotAllowed || failure instanceof errors.JOSENotSupported) {
    throw new DecryptionError('alg', 'it is encrypted in a way that is not accepted', failure)
  }
  throw new DecryptionError('encrypted', 'it is encrypted, and no key of clientKeys decrypts it', failure)
}

function candidatesFor (jwe: string, keys: readonly ClientKey[]): ClientKey[] {
  const ours = keys.filter(({ use }) => use === 'enc')
  if (ours.length === 0) {
    const remedy = "add the key that the provider encrypts for to clientKeys, with use: 'enc'"
    throw new DecryptionError('encrypted', `it is encrypted, and there is no key to decrypt it; ${remedy}`)
  }
  let header
  try {
    header = decodeProtectedHeader(jwe)
  } catch (cause) {
    throw new DecryptionError('malformed', 'its header cannot be read', cause)
  }
  const { alg, kid } = header
  const fitting = ours.filter(({ algorithms }) => alg !== undefined && algorithms.includes(alg))
  if (fitting.length === 0) throw new DecryptionError('alg', 'it is encrypted with an algorithm that is not accepted')
  const named = fitting.filter(key => key.kid === kid)
  return named.length > 0 ? named : fitting
}
