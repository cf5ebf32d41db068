import { isObject } from '../util/is-object.ts'
import { fetchDocument, jsonObject, strings } from './documents.ts'
import { type Finding, note, problem } from './finding.ts'
import type { Metadata } from './metadata.ts'

/** Members of a JWK that are the private half of a key (RFC 7518, section 6). */
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']
/** Bits below which an RSA key must not be used (RFC 7518, section 3.3). */
const RSA_BITS = 2048

/** Fetches the key set that ID tokens are checked with, and says what is odd about it. */
export async function keysOf (metadata: Metadata): Promise<{ findings: Finding[], count?: number }> {
  const { jwks_uri: url } = metadata
  if (typeof url !== 'string' || !URL.canParse(url)) return { findings: [] }
  const answer = await fetchDocument(url)
  const failed = 'failure' in answer ? answer.failure : answer.status === 200 ? undefined : `status ${answer.status}`
  if ('failure' in answer || failed !== undefined) {
    const why = `the key set cannot be had from ${url}: ${failed}. No ID token can be checked`
    return { findings: [problem('jwks', why)] }
  }
  const keys = jsonObject(answer.text)?.keys
  if (!Array.isArray(keys)) return { findings: [problem('jwks', `what ${url} answers is no key set`)] }
  const signing = keys.filter(isObject).filter(({ use }) => use === undefined || use === 'sig')
  return { findings: [...ofKeys(signing, metadata), ...ofSecrets(keys.filter(isObject))], count: signing.length }
}

function ofKeys (signing: Record<string, unknown>[], metadata: Metadata): Finding[] {
  if (signing.length === 0) return [problem('jwks_empty', 'the key set has no key for signatures')]
  const findings: Finding[] = []
  if (signing.length > 1 && signing.some(({ kid }) => typeof kid !== 'string')) {
    const why = 'the key set has several keys, and not each has a kid: which one signed cannot be told'
    findings.push(problem('jwks_kid', why))
  }
  const weak = signing.filter(({ kty, n }) => kty === 'RSA' && bitsOf(n) < RSA_BITS)
  if (weak.length > 0) {
    const why = `the key set has an RSA key of less than ${RSA_BITS} bits (RFC 7518, section 3.3)`
    findings.push(problem('jwks_weak', why))
  }
  const algorithms = strings(metadata.id_token_signing_alg_values_supported)
  const kinds = new Set(algorithms.map(kindOf).filter(kind => kind !== undefined))
  if (kinds.size > 0 && !signing.some(({ kty }) => kinds.has(String(kty)))) {
    findings.push(note('jwks_kind', `no key of the set is of a kind for ${algorithms.join(', ')}`))
  }
  return findings
}

function ofSecrets (keys: Record<string, unknown>[]): Finding[] {
  const shown = keys.some(key => PRIVATE.some(name => key[name] !== undefined))
  const remedy = 'whoever reads it can sign ID tokens. Tell the provider at once'
  return shown ? [problem('jwks_private', `the key set publishes a private or secret key: ${remedy}`)] : []
}

function bitsOf (modulus: unknown): number {
  return typeof modulus === 'string' ? Buffer.from(modulus, 'base64url').length * 8 : 0
}

function kindOf (algorithm: string): string | undefined {
  if (/^[RP]S/.test(algorithm)) return 'RSA'
  if (algorithm.startsWith('ES')) return 'EC'
  return algorithm.startsWith('Ed') ? 'OKP' : undefined
}
