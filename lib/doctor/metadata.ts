import { documentsOf } from '../oauth/discovery.ts'
import { isLoopback } from '../oauth/urls.ts'
import { type Answer, fetchDocument, jsonObject } from './documents.ts'
import { type Finding, note, problem } from './finding.ts'

/** A provider's metadata as it came, wire names (RFC 8414, section 2). */
export type Metadata = Record<string, unknown>

/** What was found at the well-known addresses of an issuer. */
export interface Discovered {
  /** Where the metadata was found. */
  url?: string
  metadata?: Metadata
  findings: Finding[]
}

/** Seconds from which a difference of clocks is worth knowing, and from which the usual tolerance is too small. */
const SKEW_NOTE = 10
const SKEW_PROBLEM = 60

/**
 * Looks for a provider's metadata where the plugin does: the document of OpenID Connect, then that of OAuth 2 (OpenID
 * Connect Discovery, section 4; RFC 8414, section 3).
 * @param issuer a URL
 */
export async function discover (issuer: string): Promise<Discovered> {
  const findings = ofIssuer(issuer)
  const failures: string[] = []
  for (const url of documentsOf(new URL(issuer))) {
    const answer = await fetchDocument(url)
    const metadata = 'failure' in answer || answer.status !== 200 ? undefined : jsonObject(answer.text)
    if ('failure' in answer || metadata === undefined) {
      failures.push(`${url}: ${whyNot(answer)}`)
      continue
    }
    if (failures.length > 0) {
      findings.push(note('oauth_metadata', 'there is no OpenID Connect document, but one of OAuth 2 (RFC 8414)'))
    }
    findings.push(...ofAnswer(answer), ...ofIssuerMember(issuer, metadata))
    return { url, metadata, findings }
  }
  const remedy = 'check the issuer; for a provider without metadata write authorizationEndpoint and tokenEndpoint'
  findings.push(problem('no_metadata', `no metadata was found; ${remedy}. ${failures.join('. ')}`))
  return { findings }
}

function whyNot (answer: Answer): string {
  if ('failure' in answer) return answer.failure
  const { status, headers } = answer
  if (status >= 300 && status < 400) {
    return `a redirect (${status}) to ${headers.get('location') ?? 'nowhere'}, which is not followed`
  }
  return status === 200 ? 'status 200, and no JSON object' : `status ${status}`
}

function ofIssuer (issuer: string): Finding[] {
  const { protocol, search, hash } = new URL(issuer)
  const findings: Finding[] = []
  if (protocol === 'http:') {
    findings.push(isLoopback(new URL(issuer).hostname)
      ? note('http', 'it is on plain http, which is accepted on this machine alone')
      : problem('http', 'it is on plain http: codes, tokens and secrets can be read on the way. Use https'))
  }
  if (search !== '' || hash !== '') {
    findings.push(problem('issuer_url', 'an issuer has no query and no fragment (RFC 8414, section 2)'))
  }
  return findings
}

/** The media type, and the clock by which the provider's tokens are dated. */
function ofAnswer ({ headers, receivedAt }: Exclude<Answer, { failure: string }>): Finding[] {
  const findings: Finding[] = []
  const type = headers.get('content-type') ?? 'none'
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(type)) {
    const fine = 'other clients may refuse it; this plugin reads it all the same'
    findings.push(note('content_type', `the metadata's media type is "${type}" in place of application/json; ${fine}`))
  }
  const date = Date.parse(headers.get('date') ?? '')
  const skew = Math.round((date - receivedAt) / 1000)
  const size = Math.abs(skew)
  if (Number.isNaN(date) || size < SKEW_NOTE) return findings
  const said = `the provider's clock is ${size} seconds ${skew > 0 ? 'ahead of' : 'behind'} this machine's`
  findings.push(size > SKEW_PROBLEM
    ? problem('clock_skew', `${said}: ID tokens are refused. Set the clock, or write clockTolerance: ${size + 30}`)
    : note('clock_skew', `${said}; up to ${SKEW_PROBLEM} are tolerated (clockTolerance)`))
  return findings
}

/** Whether the document is of the issuer that was asked for (OpenID Connect Discovery, section 4.3). */
function ofIssuerMember (asked: string, { issuer }: Metadata): Finding[] {
  if (typeof issuer !== 'string') {
    return [problem('issuer_missing', 'the metadata names no issuer: the plugin refuses it (RFC 8414, section 2)')]
  }
  if (issuer === asked) return []
  if (URL.canParse(issuer) && new URL(issuer).href === new URL(asked).href) {
    const how = `the issuer is spelled "${issuer}" in the metadata, and "${asked}" here: write the former`
    return [note('issuer_spelling', how)]
  }
  const remedy = issuer.includes('{tenantid}')
    ? 'each tenant has its own: use the preset microsoft()'
    : `write issuer: '${issuer}' if you mean that one`
  return [problem('issuer_mismatch', `the metadata is of issuer "${issuer}", and "${asked}" was asked for; ${remedy}`)]
}
