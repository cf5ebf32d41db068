import { randomBytes } from 'node:crypto'
import type { Configuration, Context } from './oidc-types.ts'
import type { Feature, TestProviderOptions } from './provider-options.ts'
import { devicePages, errorPage, loggedOutPage, logoutPage } from './provider-pages.ts'
import type { ProviderState } from './provider-state.ts'
import { privateJwks } from './signing-keys.ts'
import { CLAIMS_OF_SCOPES, type TestUsers } from './users.ts'

/** In seconds. */
export const DAY = 24 * 60 * 60

/** What a provider has of its own, beside the options that it was started with. */
export interface Instance {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  readonly state: ProviderState
  /** Keys and names of its cookies. */
  readonly cookies: ReturnType<typeof cookieSettings>
  readonly users: TestUsers
  readonly accessTokenTtl: number
  readonly refreshTokenTtl: number
  /** The scopes that there are, beside those of OpenID Connect. */
  readonly scopes: Iterable<string>
  /** Sends what the provider itself sends: logout tokens. */
  readonly fetch: (url: string, options: RequestInit) => Promise<Response>
  /** The scopes that a login of `loginAs` is granted; undefined for all that it asks for. */
  grantedScope (ctx: Context): readonly string[] | undefined
}

/** Keys and names of one provider's cookies. */
export function cookieSettings () {
  // Browsers keep cookies by host, whatever the port: two providers on 127.0.0.1 would sign each other's users out.
  const suffix = randomBytes(4).toString('hex')
  return {
    keys: [randomBytes(16).toString('hex')],
    names: { session: `op_session_${suffix}`, interaction: `op_interaction_${suffix}`, resume: `op_resume_${suffix}` }
  }
}

/**
 * oidc-provider's configuration. Every function whose default would print a notice is replaced, so that the tests'
 * output is the tests' own.
 */
export function providerConfiguration (instance: Instance, options: TestProviderOptions): Configuration {
  const { refreshTokens = 'always' } = options

  return {
    clients: clientsOf(instance, options),
    adapter: (model: string) => instance.state.adapter(model),
    jwks: privateJwks(),
    cookies: instance.cookies,
    // The default forgives 15 seconds: a token would outlive its `expires_in`.
    clockTolerance: 0,
    ttl: lifetimesOf(instance),

    pkce: { required: () => true },
    // Always, not only past 70% of the token's life: and using a consumed one revokes the whole grant.
    rotateRefreshToken: options.rotate ?? true,
    issueRefreshToken: (_ctx: Context, _client: unknown, source: { scopes: Set<string> }) =>
      refreshTokens === 'always' || (refreshTokens === 'offline_access' && source.scopes.has('offline_access')),
    // Or else the tokens would die with the user's session at the provider.
    expiresWithSession: () => false,
    allowOmittingSingleRegisteredRedirectUri: false,

    scopes: [...new Set(['openid', 'offline_access', ...instance.scopes])],
    claims: {
      ...CLAIMS_OF_SCOPES,
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
    loadExistingGrant: (ctx: Context) => grantWhatIsAskedFor(ctx, instance.grantedScope(ctx)),
    interactions: {
      url: (_ctx: Context, { uid }: { uid: string }) =>
        `${new URL(instance.issuer).pathname.replace(/\/$/, '')}/interaction/${uid}`
    },
    clientBasedCORS: () => false,
    renderError: errorPage,
    // The default refuses to talk to loopback addresses, where the tests' back-channel endpoints are.
    fetch: (url: string, { dispatcher: _, ...options }: RequestInit & { dispatcher?: unknown }) =>
      instance.fetch(url, options),

    features: featuresOf(options),
    ...options.configuration,
  }
}

/** The client that every provider has, and those of the options. */
function clientsOf ({ issuer, clientId, clientSecret }: Instance, options: TestProviderOptions) {
  return [{
    client_id: clientId,
    client_secret: clientSecret,
    grant_types: [
      'authorization_code',
      'refresh_token',
      ...isOn('clientCredentials', options) ? ['client_credentials'] : [],
      ...isOn('deviceFlow', options) ? ['urn:ietf:params:oauth:grant-type:device_code'] : [],
    ],
    // There has to be one; which ones are allowed is decided in provider.ts.
    redirect_uris: [`${issuer}/never`],
    backchannel_logout_session_required: true,
    ...options.client,
  }, ...options.clients ?? []]
}

/** In seconds. Those of access and refresh tokens are asked for with each token: they can be set at any time. */
function lifetimesOf (instance: Instance) {
  return {
    AccessToken: () => instance.accessTokenTtl,
    ClientCredentials: () => instance.accessTokenTtl,
    AuthorizationCode: 60,
    DeviceCode: 600,
    Grant: 14 * DAY,
    IdToken: 3600,
    Interaction: 3600,
    RefreshToken: () => instance.refreshTokenTtl,
    Session: 14 * DAY,
  }
}

function featuresOf (options: TestProviderOptions) {
  const { features = {}, resourceServers = {} } = options
  const enabled = (feature: Feature, settings: object = {}) => ({ enabled: isOn(feature, options), ...settings })

  return {
    devInteractions: { enabled: false },
    revocation: enabled('revocation', { allowedPolicy: () => true }),
    introspection: enabled('introspection', { allowedPolicy: () => true }),
    rpInitiatedLogout: enabled('rpInitiatedLogout', {
      logoutSource: logoutPage,
      postLogoutSuccessSource: loggedOutPage
    }),
    userinfo: enabled('userinfo'),
    claimsParameter: { enabled: true },
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
  }
}

/** Whether a feature is on that is on unless the options say otherwise. */
function isOn (feature: Feature, { features = {} }: TestProviderOptions): boolean {
  return features[feature] ?? true
}

/** Consent without a question, by oidc-provider's own recipe for first-party clients. */
async function grantWhatIsAskedFor ({ oidc }: Context, granted: readonly string[] | undefined) {
  const { Grant } = oidc.provider
  const { clientId } = oidc.client
  const grantId = oidc.session.grantIdFor(clientId)
  const grant = (grantId === undefined ? undefined : await Grant.find(grantId)) ??
    new Grant({ accountId: oidc.account.accountId, clientId })

  const asked = [...oidc.requestParamOIDCScopes]
  const isGranted = (scope: string) => granted === undefined || granted.includes(scope)
  grant.addOIDCScope(asked.filter(isGranted).join(' '))
  grant.addOIDCClaims([...oidc.requestParamClaims])
  grant.rejectOIDCScope(asked.filter(scope => !isGranted(scope)).join(' '))
  for (const [resource, { scopes }] of Object.entries(oidc.resourceServers)) {
    const known = [...oidc.requestParamScopes].filter(scope => scopes.has(scope) && isGranted(scope))
    grant.addResourceScope(resource, known.join(' '))
  }
  await grant.save()
  return grant
}
