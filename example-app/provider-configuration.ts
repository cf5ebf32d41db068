// What the embedded provider is told: its clients, how long its tokens live, and which features are on.
import { type KeyObject, randomBytes } from 'node:crypto'
import type { ProviderContext } from 'oidc-provider'
import { findAccount } from './accounts.ts'
import { errorRenderer, loggedOutRenderer, logoutRenderer } from './provider-pages.ts'

export interface Client { clientId: string, clientSecret: string }

export interface ProviderSettings {
  /** What the board calls it: part of its callback's path. */
  name: string
  /** What users read. */
  title: string
  /** Seconds. */
  accessTokenTtl: number
}

export interface ProviderParts {
  settings: ProviderSettings
  boardUrl: string
  boardClient: Client
  apiClient: Client
  /** Signs ID tokens. */
  privateKey: KeyObject
}

export const scope = ['openid', 'profile', 'email', 'orders']

const hour = 60 * 60
const day = 24 * hour

/** The configuration of oidc-provider. */
export function providerConfiguration (parts: ProviderParts) {
  const { settings: { name, title, accessTokenTtl }, boardUrl, boardClient, privateKey } = parts
  return {
    clients: clientsOf(parts),
    scopes: scope,
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false, // name and e-mail come in the ID token: one request fewer at login
    jwks: { keys: [privateKey.export({ format: 'jwk' })] },
    findAccount,
    loadExistingGrant,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: (_ctx: unknown, { clientId }: Client) => clientId === boardClient.clientId,
    ttl: { AccessToken: accessTokenTtl, RefreshToken: day, IdToken: hour, Grant: day, Interaction: hour, Session: day },
    cookies: {
      // Both providers are on this host, and cookies do not tell ports apart.
      names: { session: `${name}-id`, interaction: `${name}-id-login`, resume: `${name}-id-resume` },
      keys: [randomBytes(32).toString('base64url')]
    },
    interactions: { url: (_ctx: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    clientBasedCORS: () => false,
    renderError: errorRenderer(boardUrl, title),
    features: featuresOf(parts),
    // Its own fetch does not reach the board, which is on this machine.
    fetch: (url: string, { dispatcher: _none, ...options }: RequestInit & { dispatcher?: unknown }) =>
      fetch(url, options)
  }
}

function clientsOf ({ settings: { name }, boardUrl, boardClient, apiClient }: ProviderParts) {
  return [
    {
      client_id: boardClient.clientId,
      client_secret: boardClient.clientSecret,
      client_name: 'Corner Bakery',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${boardUrl}/login/${name}/callback`],
      post_logout_redirect_uris: [`${boardUrl}/logout/callback`],
      backchannel_logout_uri: `${boardUrl}/login/${name}/backchannel-logout`,
      backchannel_logout_session_required: true
    },
    {
      client_id: apiClient.clientId,
      client_secret: apiClient.clientSecret,
      grant_types: [],
      redirect_uris: [],
      response_types: []
    }
  ]
}

function featuresOf ({ settings: { title }, boardUrl, apiClient }: ProviderParts) {
  return {
    devInteractions: { enabled: false },
    introspection: {
      enabled: true,
      allowedPolicy: (_ctx: unknown, { clientId }: Client) => clientId === apiClient.clientId
    },
    revocation: {
      enabled: true,
      allowedPolicy: (_ctx: unknown, { clientId }: Client, token: Client) => clientId === token.clientId
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: logoutRenderer(title),
      postLogoutSuccessSource: loggedOutRenderer(boardUrl, title)
    },
    backchannelLogout: { enabled: true } // a logout here ends the board's session, in whichever browser it is
  }
}

/** The board is the provider's own app: users are not asked for consent, its scopes are granted. */
async function loadExistingGrant (ctx: ProviderContext) {
  const { provider, client: { clientId }, session } = ctx.oidc
  const grantId = session.grantIdFor(clientId)
  const existing = grantId && await provider.Grant.find(grantId)
  if (existing) return existing
  const grant = new provider.Grant({ clientId, accountId: session.accountId })
  grant.addOIDCScope(scope.join(' '))
  await grant.save()
  return grant
}
