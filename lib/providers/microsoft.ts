import { InvalidOptionsError } from '../errors.ts'
import { preset, type PresetOptions } from './preset.ts'
import type { ProviderOptions, UserProfile } from './types.ts'

export interface MicrosoftOptions extends PresetOptions {
  /** Who may log in: a tenant's id or domain, `organizations`, `consumers`, or `common` (both). Default `common`. */
  tenant?: string
}

const GUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i
/** The tenant that personal accounts belong to. */
const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad'

/**
 * Microsoft (Entra ID and personal accounts): OpenID Connect, v2.0 endpoints.
 *
 * Facts (learn.microsoft.com/entra/identity-platform: "OpenID Connect on the Microsoft identity platform" (v2-protocols-oidc),
 * "OAuth 2.0 authorization code flow" (v2-oauth2-auth-code-flow), "ID token claims reference" (id-token-claims-reference),
 * "Access tokens" (access-tokens, "Validate the issuer"), "Refresh tokens" (refresh-tokens)):
 * - One set of endpoints serves many tenants. An ID token's `iss` names the tenant of the user, `tid` its id; the metadata of
 *   `common` and of domains cannot name it, so the endpoints are written here and `iss` is checked against `tid`. With a domain,
 *   that it is this organization's is left to its endpoint; with an id it is checked here too.
 * - A key says in its `issuer` whose tokens it signs: any tenant's (`{tenantid}`), or one's alone. The key of personal accounts
 *   must not be believed of an organization.
 * - Secret in the form, or `private_key_jwt`.
 * - `email` is not guaranteed to be right and is never to be used for authorization: it counts as unverified. `sub` differs
 *   from app to app; `oid` with `tid` is the same in all.
 * - Userinfo says no more than the ID token.
 * - Refresh tokens (90 days) come for the scope `offline_access`, which the answer does not list. A refresh brings a new one and
 *   does not revoke the old one. There is no revocation endpoint.
 * - The logout page takes `post_logout_redirect_uri`, registered like a redirect URI. That it hands `state` back is not in those
 *   pages; it does according to github.com/aspnet/Security/issues/1239.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @throws FST_OAUTH_INVALID_OPTIONS where the tenant cannot be one
 */
export function microsoft ({ tenant = 'common', ...options }: MicrosoftOptions): ProviderOptions {
  if (typeof tenant !== 'string' || !/^[\w.-]+$/.test(tenant)) throw new InvalidOptionsError('microsoft() has a `tenant` that is neither an id, a domain, nor common, organizations or consumers', { reason: 'configuration' })
  const base = `https://login.microsoftonline.com/${tenant}`
  return preset({
    title: 'Microsoft',
    authorizationEndpoint: `${base}/oauth2/v2.0/authorize`,
    tokenEndpoint: `${base}/oauth2/v2.0/token`,
    userinfoEndpoint: 'https://graph.microsoft.com/oidc/userinfo',
    endSessionEndpoint: `${base}/oauth2/v2.0/logout`,
    jwksUri: `${base}/discovery/v2.0/keys`,
    idTokenIssuer: issuerOf(tenant),
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://graph.microsoft.com/v1.0/'],
    profile: 'id_token',
    userProfile: ({ sub, name, preferred_username: username, email }) => ({ id: sub, name: name ?? username, email }) as UserProfile
  }, options)
}

function issuerOf (tenant: string): (issuer: string, claims: Record<string, unknown>, key: Record<string, unknown>) => boolean {
  const issuer = (id: string) => `https://login.microsoftonline.com/${id}/v2.0`
  return (iss, { tid }, { issuer: signsFor = iss }) => {
    if (typeof tid !== 'string' || !GUID.test(tid) || iss !== issuer(tid)) return false
    if (signsFor !== iss && signsFor !== issuer('{tenantid}')) return false
    if (GUID.test(tenant)) return tid === tenant.toLowerCase()
    if (tenant === 'consumers') return tid === PERSONAL
    return tenant === 'common' || tid !== PERSONAL
  }
}
