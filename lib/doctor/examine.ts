import type { ProviderOptions } from '../index.ts'
import { parseScope } from '../oauth/token-set.ts'
import type { Arguments } from './arguments.ts'
import type { Finding } from './finding.ts'
import { keysOf } from './keys.ts'
import { discover, type Metadata } from './metadata.ts'
import { odditiesOf } from './oddities.ts'
import { offersOf } from './offers.ts'
import type { Report } from './report.ts'
import { snippetOf, usualScope } from './snippet.ts'
import type { Subject } from './subject.ts'

/** Looks at a provider, and at its key set. */
export async function examine (
  subject: Subject, { baseUrl }: Pick<Arguments, 'baseUrl'>
): Promise<{ report: Report, metadata: Metadata | undefined }> {
  const { preset, name, title, issuer, options } = subject
  const { url, metadata, findings } = issuer === undefined
    ? { url: undefined, metadata: undefined, findings: [] as Finding[] }
    : await discover(issuer)
  const keys = metadata === undefined ? undefined : await keysOf(metadata)
  const endsSessions = metadata?.end_session_endpoint ?? options.endSessionEndpoint
  const report: Report = {
    title,
    offers: metadata === undefined ? [] : offersOf(metadata),
    findings: metadata === undefined
      ? findings
      : [...findings, ...odditiesOf(issuer!, metadata), ...keys!.findings],
    options: snippetOf(subject, baseUrl, metadata),
    redirectUri: `${baseUrl}/login/${name}/callback`,
    ...(preset !== undefined && { preset, sets: presetLines(options) }),
    ...(issuer !== undefined && { issuer }),
    ...(url !== undefined && { metadataUrl: url }),
    ...(endsSessions !== undefined && { postLogoutRedirectUri: `${baseUrl}/logout/callback` }),
    ...(metadata?.backchannel_logout_supported === true && {
      backchannelLogoutUri: `${baseUrl}/login/${name}/backchannel-logout`
    })
  }
  return { report, metadata }
}

/** What a login asks for if nothing else is said. */
export function scopeOfLogin (
  { preset, options }: Subject, metadata: Metadata | undefined
): string | undefined {
  if (preset !== undefined || options.scope !== undefined || metadata === undefined) return undefined
  return usualScope(metadata).join(' ')
}

const ENDPOINTS = {
  issuer: 'issuer (everything else is discovered there)',
  authorizationEndpoint: 'authorization endpoint',
  tokenEndpoint: 'token endpoint',
  userinfoEndpoint: 'profile',
  revocationEndpoint: 'revocation',
  endSessionEndpoint: 'logout at the provider'
} as const

/** What a preset sets, in plain words. */
function presetLines (options: ProviderOptions): string[] {
  const {
    scope, clientAuthentication = 'what the provider supports', resourceServers = [], pkce, refreshAhead, revokeAtLogout
  } = options
  const servers = resourceServers.map(server => typeof server === 'string' ? server : server.url)
  const asked = parseScope(scope) ?? []
  return [
    ...Object.entries(ENDPOINTS).flatMap(([option, what]) => {
      const value = options[option as keyof typeof ENDPOINTS]
      return value === undefined ? [] : [`${what}: ${value}`]
    }),
    `scope: ${asked.join(' ') || 'none'}`,
    `client authentication: ${typeof clientAuthentication === 'string' ? clientAuthentication : "the provider's own"}`,
    `PKCE: ${pkce === false ? 'none: see docs/providers.md' : pkce ?? 'S256'}`,
    `the token may go to: ${servers.join(', ') || 'the profile alone; resourceServers is yours to set'}`,
    ...(refreshAhead === false ? ['a refresh ends the old token: none is made ahead of time'] : []),
    ...(revokeAtLogout === false ? ['logout revokes nothing'] : [])
  ]
}
