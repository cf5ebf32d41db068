import { randomBytes } from 'node:crypto'
import type { Configuration, Context } from 'oidc-provider'
import { devicePages, errorPage, loggedOutPage, logoutPage } from './provider-pages.ts'
import type { ProviderState } from './memory-adapter.ts'
import type { Feature, ProviderOptions } from './provider-options.ts'
import { privateJwks } from './signing-keys.ts'
import type { Users } from './users.ts'

const day = 24 * 60 * 60

/** What a provider has of its own, beside the options that it was started with. */
export interface Instance {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  readonly state: ProviderState
  readonly users: Users
  readonly accessTokenTtl: number
}

/**
 * oidc-provider's configuration. Every function whose default would print a notice is replaced, so that the tests'
 * output is the tests' own.
 */
export function providerConfiguration (instance: Instance, options: ProviderOptions): Configuration {
  const { features = {}, resourceServers = {}, refreshTokens = 'always' } = options
  const on = (feature: Feature) => features[feature] ?? true
  const enabled = (feature: Feature, settings: object = {}) => ({ enabled: on(feature), ...settings })
  // Browsers keep cookies by host, whatever the port: two providers on 127.0.0.1 would sign each other's users out.
  const suffix = randomBytes(4).toString('hex')

  return {
    clients: [{
      client_id: instance.clientId,
      client_secret: instance.clientSecret,
      grant_types: [
        'authorization_code',
        'refresh_token',
        ...on('clientCredentials') ? ['client_credentials'] : [],
        ...on('deviceFlow') ? ['urn:ietf:params:oauth:grant-type:device_code'] : [],
      ],
      // There has to be one; which ones are allowed is decided in provider.ts.
      redirect_uris: [`${instance.issuer}/never`],
      backchannel_logout_session_required: true,
      ...options.client,
    }],
    adapter: (model: string) => instance.state.adapter(model),
    jwks: privateJwks(),
    cookies: {
      keys: [randomBytes(16).toString('hex')],
      names: { session: `op_session_${suffix}`, interaction: `op_interaction_${suffix}`, resume: `op_resume_${suffix}` }
    },
    // The default forgives 15 seconds: a token would outlive its `expires_in`.
    clockTolerance: 0,
    ttl: {
      AccessToken: () => instance.accessTokenTtl,
      ClientCredentials: () => instance.accessTokenTtl,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Grant: 14 * day,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: 14 * day,
      Session: 14 * day,
    },

    pkce: { required: () => true },
    // Always, not only past 70% of the token's life: and using a consumed one revokes the whole grant.
    rotateRefreshToken: true,
    issueRefreshToken: (_ctx: Context, _client: unknown, source: { scopes: Set<string> }) =>
      refreshTokens === 'always' || (refreshTokens === 'offline_access' && source.scopes.has('offline_access')),
    // Or else the tokens would die with the user's session at the provider.
    expiresWithSession: () => false,
    allowOmittingSingleRegisteredRedirectUri: false,

    scopes: ['openid', 'offline_access', 'orders:read', 'orders:write'],
    claims: {
      openid: ['sub'],
      profile: ['name', 'picture'],
      email: ['email', 'email_verified'],
      acr: null,
      amr: null,
      auth_time: null,
      iss: null,
      sid: null,
    },
    acrValues: ['urn:example:pwd', 'urn:example:mfa'],
    findAccount: (_ctx: Context, sub: string) => {
      const { password: _, ...claims } = instance.users[sub] ?? { password: undefined }
      return Object.hasOwn(instance.users, sub) ? { accountId: sub, claims: () => ({ sub, ...claims }) } : undefined
    },
    loadExistingGrant: grantWhatIsAskedFor,
    clientBasedCORS: () => false,
    renderError: errorPage,
    // The default refuses to talk to loopback addresses, where the tests' back-channel endpoints are.
    fetch: (url: string, { dispatcher: _, ...options }: RequestInit & { dispatcher?: unknown }) => fetch(url, options),

    features: {
      devInteractions: { enabled: false },
      revocation: enabled('revocation', { allowedPolicy: () => true }),
      introspection: enabled('introspection', { allowedPolicy: () => true }),
      rpInitiatedLogout: enabled('rpInitiatedLogout', {
        logoutSource: logoutPage,
        postLogoutSuccessSource: loggedOutPage
      }),
      userinfo: enabled('userinfo'),
      clientCredentials: enabled('clientCredentials'),
      deviceFlow: enabled('deviceFlow', devicePages),
      pushedAuthorizationRequests: enabled('pushedAuthorizationRequests'),
      backchannelLogout: enabled('backchannelLogout'),
      dPoP: enabled('dPoP', { nonceSecret: randomBytes(32), requireNonce: () => options.dpopNonces === true }),
      jwtResponseModes: { enabled: features.jwtResponseModes ?? false },
      encryption: { enabled: features.encryption ?? false },
      jwtUserinfo: { enabled: features.jwtUserinfo ?? false },
      requestObjects: { enabled: features.requestObjects ?? false },
      resourceIndicators: {
        enabled: Object.keys(resourceServers).length > 0,
        getResourceServerInfo: (_ctx: Context, resource: string) => ({
          scope: resourceServers[resource] ?? '',
          audience: resource
        }),
        useGrantedResource: () => true
      },
      ...options.furtherFeatures
    },
    ...options.configuration,
  }
}

/** Consent without a question, by oidc-provider's own recipe for first-party clients. */
async function grantWhatIsAskedFor ({ oidc }: Context) {
  const { Grant } = oidc.provider
  const { clientId } = oidc.client
  const grantId = oidc.session.grantIdFor(clientId)
  const grant = (grantId === undefined ? undefined : await Grant.find(grantId)) ??
    new Grant({ accountId: oidc.account.accountId, clientId })

  grant.addOIDCScope([...oidc.requestParamOIDCScopes].join(' '))
  for (const [resource, { scopes }] of Object.entries(oidc.resourceServers)) {
    grant.addResourceScope(resource, [...oidc.requestParamScopes].filter((scope) => scopes.has(scope)).join(' '))
  }
  await grant.save()
  return grant
}
