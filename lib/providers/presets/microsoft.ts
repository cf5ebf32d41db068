import { InvalidOptionsError } from '../../errors.ts'
import { parseClientKeys, signingKeyOf } from '../../oauth/client-keys.ts'
import type { IdTokenIssuerFunction, ProviderOptions, UserProfile } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions, serverUrl } from './preset.ts'

/** Options of the preset `microsoft`. */
export interface MicrosoftOptions extends PresetOptions {
  /** Who may log in: a tenant's id or domain, `organizations`, `consumers`, or `common` (both). Default `common`. */
  tenant?: string
  /** The cloud's login server, without a tenant. Default `https://login.microsoftonline.com`. */
  authority?: string
}

const AUTHORITY = 'https://login.microsoftonline.com'
/** Authority of a national cloud → where Microsoft Graph is there; the first resolves relative URLs. */
const GRAPH: Record<string, string[]> = {
  'https://login.microsoftonline.us': ['https://graph.microsoft.us', 'https://dod-graph.microsoft.us'],
  'https://login.partner.microsoftonline.cn': ['https://microsoftgraph.chinacloudapi.cn']
}

const GUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i
/** The tenant that personal accounts belong to. */
const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad'

/**
 * Microsoft (Entra ID and personal accounts): OpenID Connect, v2.0 endpoints.
 *
 * Facts (learn.microsoft.com/entra/identity-platform: "OpenID Connect on the Microsoft identity platform"
 * (v2-protocols-oidc), "OAuth 2.0 authorization code flow" (v2-oauth2-auth-code-flow), "ID token claims reference"
 * (id-token-claims-reference), "Access tokens" (access-tokens, "Validate the issuer"), "Refresh tokens"
 * (refresh-tokens), "Certificate credentials" (certificate-credentials), "National clouds"
 * (authentication-national-cloud); learn.microsoft.com/graph/deployments, "Microsoft Graph national cloud
 * deployments"):
 * - One set of endpoints serves many tenants. An ID token's `iss` names the tenant of the user, `tid` its id; the
 *   metadata of `common` and of domains cannot name it, so the endpoints are written here and `iss` is checked against
 *   `tid`. With a domain, that it is this organization's is left to its endpoint; with an id it is checked here too.
 * - A key says in its `issuer` whose tokens it signs: any tenant's (`{tenantid}`), or one's alone. The key of personal
 *   accounts must not be believed of an organization.
 * - Secret in the form, or `private_key_jwt`: `aud` is the token endpoint, `alg` should be PS256, `typ` JWT, and the
 *   certificate is told by its thumbprint `x5t#S256` (`x5t` in older versions of the page), not by a `kid`. So a key
 *   that does not say otherwise signs with PS256, and the header has no `kid` that is not written there.
 * - National clouds have login servers and Microsoft Graph of their own. That ID tokens are issued by the login server
 *   that was asked is not said in the page on them (the metadata of each says so).
 * - `email` is not guaranteed to be right and is never to be used for authorization: it counts as unverified. `sub`
 *   differs from app to app; `oid` with `tid` is the same in all.
 * - Userinfo says no more than the ID token.
 * - Refresh tokens (90 days) come for the scope `offline_access`, which the answer does not list. A refresh brings a
 *   new one and does not revoke the old one. There is no revocation endpoint.
 * - The logout page takes `post_logout_redirect_uri`, registered like a redirect URI. That it hands `state` back is not
 *   in those pages; it does according to github.com/aspnet/Security/issues/1239.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if the tenant or the authority cannot be one
 */
export function microsoft (options: MicrosoftOptions): ProviderOptions {
  const { tenant = 'common', authority = AUTHORITY, ...others } = optionsOf('Microsoft', options)
  if (typeof tenant !== 'string' || !/^[\w.-]+$/.test(tenant)) {
    throw new InvalidOptionsError(
      'microsoft() has a `tenant` that is neither an id, a domain, nor common, organizations or consumers',
      { reason: 'configuration' }
    )
  }
  const server = serverUrl(optional('microsoft', 'authority', authority, 'text'))
  if (!URL.canParse(server) || new URL(server).href !== `${server}/`) {
    const example = '"https://login.microsoftonline.us"; write the tenant as `tenant`'
    const message = `microsoft() takes the origin of a login server as \`authority\`, such as ${example}`
    throw new InvalidOptionsError(message, { reason: 'configuration' })
  }
  const base = `${server}/${tenant}`
  const graph = GRAPH[server] ?? ['https://graph.microsoft.com']
  return preset(
    {
      title: 'Microsoft',
      authorizationEndpoint: `${base}/oauth2/v2.0/authorize`,
      tokenEndpoint: `${base}/oauth2/v2.0/token`,
      userinfoEndpoint: `${graph[0]}/oidc/userinfo`,
      endSessionEndpoint: `${base}/oauth2/v2.0/logout`,
      jwksUri: `${base}/discovery/v2.0/keys`,
      idTokenIssuer: issuerOf(server, tenant),
      scope: ['openid', 'profile', 'email'],
      clientAuthentication: 'client_secret_post',
      clientAssertion: { header: { typ: 'JWT', kid: undefined, ...signingAlgorithm(others.clientKeys) } },
      resourceServers: graph.map(host => `${host}/v1.0/`),
      profileSource: 'id_token',
      userProfile: ({ sub, name, preferred_username: username, email }) =>
        ({ id: sub, name: name ?? username, email }) as UserProfile
    },
    others
  )
}

// What the page recommends, if the key does not say otherwise.
function signingAlgorithm (keys: ProviderOptions['clientKeys']): { alg?: string } {
  const algorithms = signingKeyOf(parseClientKeys(keys))?.algorithms ?? []
  return algorithms.length > 1 && algorithms.includes('PS256') ? { alg: 'PS256' } : {}
}

function issuerOf (server: string, tenant: string): IdTokenIssuerFunction {
  const issuer = (id: string) => `${server}/${id}/v2.0`
  return (iss, { tid }, { issuer: signsFor = iss }) => {
    if (typeof tid !== 'string' || !GUID.test(tid) || iss !== issuer(tid)) return false
    if (signsFor !== iss && signsFor !== issuer('{tenantid}')) return false
    if (GUID.test(tenant)) return tid === tenant.toLowerCase()
    if (tenant === 'consumers') return tid === PERSONAL
    return tenant === 'common' || tid !== PERSONAL
  }
}
