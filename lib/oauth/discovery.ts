import type { AuthorizationServer } from 'oauth4webapi'
import { InvalidOptionsError, type OAuthError, ProviderUnavailableError } from '../errors.ts'
import { redact } from '../util/redact.ts'
import { type HttpResponse, parseMembers, type TokenMembers } from './token-response.ts'

/** A provider's metadata, wire names (RFC 8414; OpenID Connect Discovery, section 3). */
export type AuthorizationServerMetadata = AuthorizationServer

type FetchDocument = (url: string, headers: Record<string, string>) => Promise<HttpResponse>

/** The metadata that was found. */
export interface Discovery {
  metadata: AuthorizationServerMetadata
  /** Whether it is the OAuth 2 document; that of OpenID Connect may have more members. */
  secondary: boolean
  /** Whether the first document failed for now, by a 5xx, 408 or 429. */
  provisional: boolean
}

/** Strings that a list of the metadata may have. */
const MAX_LIST = 1000
const LIST_MEMBER = /_(?:values|methods|types|modes|scopes|claims)_supported$|^(?:scopes|claims)_supported$/

/**
 * Fetches a provider's metadata and checks its issuer (OpenID Connect Discovery, section 4.3). If the OpenID Connect
 * document does not exist or cannot be used, the OAuth 2 one is fetched (RFC 8414, section 3).
 * @throws FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS if a document is of another issuer
 */
export async function discover (provider: string, issuer: string, fetchDocument: FetchDocument): Promise<Discovery> {
  const failures: string[] = []
  let status: number | undefined
  for (const address of documentsOf(new URL(issuer))) {
    const answer = await fetchDocument(address, { accept: 'application/json' }).catch(unreadable)
    const members = answer.status === 200 ? parseMembers(answer.text) : undefined
    if (typeof members?.issuer === 'string') {
      checkIssuer(provider, issuer, members.issuer)
      const secondary = status !== undefined
      return { metadata: withLists(members), secondary, provisional: secondary && isPassing(status!) }
    }
    status ??= answer.status
    failures.push(`${address} answered ${answer.status}${answer.status === 200 ? ' without an issuer' : ''}`)
  }
  const message = `the metadata of provider "${provider}" could not be read: ${failures.join(', ')}`
  const remedy = 'check `issuer` if this does not pass, or write the endpoints into the options'
  throw new ProviderUnavailableError(`${message}; ${remedy}`, {
    provider, responseStatus: status, reason: 'invalid_metadata'
  })
}

// A response that is too large or cannot be decompressed is not metadata; it may be a page.
function unreadable (error: OAuthError): HttpResponse {
  if (error.code !== 'FST_OAUTH_INVALID_TOKEN_RESPONSE') throw error
  return { status: 200, headers: {}, text: '' }
}

/**
 * Where an issuer's metadata may be: the document of OpenID Connect, with the well-known path after the issuer's path,
 * then that of OAuth 2, with it before.
 */
export function documentsOf ({ origin, pathname }: URL): string[] {
  const path = pathname.replace(/\/+$/, '')
  const wellKnown = `${origin}/.well-known`
  return [`${origin}${path}/.well-known/openid-configuration`, `${wellKnown}/oauth-authorization-server${path}`]
}

const isPassing = (status: number) => status >= 500 || status === 429 || status === 408

function checkIssuer (provider: string, issuer: string, found: string): void {
  if (URL.canParse(found) && new URL(found).href === new URL(issuer).href) return
  const said = redact(found)
  if (found.includes('{tenantid}')) {
    const message = `the metadata of provider "${provider}" is of no single issuer: each tenant has its own ("${said}")`
    const remedy = 'use microsoft() of fastify-oauth-session/providers, which checks the tenant of each ID token, or ' +
      'write the issuer of one tenant'
    throw new InvalidOptionsError(`${message}; ${remedy}`, { provider, reason: 'issuer_mismatch' })
  }
  const message = `the metadata of provider "${provider}" is of issuer "${said}", and its options say "${issuer}"`
  const remedy = `write issuer: '${said}' if you mean that one (another name of the same machine is another issuer)`
  throw new InvalidOptionsError(`${message}; ${remedy}`, { provider, reason: 'issuer_mismatch' })
}

// Members that should be lists but are not would fail when they are searched.
function withLists (members: TokenMembers): AuthorizationServerMetadata {
  const metadata: TokenMembers = { ...members }
  for (const [name, value] of Object.entries(members)) {
    if (Array.isArray(value)) metadata[name] = value.filter(item => typeof item === 'string').slice(0, MAX_LIST)
    else if (LIST_MEMBER.test(name)) delete metadata[name]
  }
  return metadata as unknown as AuthorizationServerMetadata
}
