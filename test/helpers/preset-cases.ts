import { createHash, generateKeyPairSync } from 'node:crypto'
import type { ProviderOptions, User } from '../../lib/index.ts'
import * as presets from '../../lib/providers.ts'
import type { PresetOptions } from '../../lib/providers.ts'
import { furtherPresetCases } from './further-preset-cases.ts'
import { verifiedClaims, type ClientCheck, type ProviderFacts } from './simulated-provider.ts'

/** The key of the app at Apple. */
const appleKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const APPLE_KEY = appleKey.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string

/** The key of the app at providers that know it by an assertion, and the thumbprint of its certificate. */
const appKey = generateKeyPairSync('rsa', { modulusLength: 2048 })
const certificate = appKey.publicKey.export({ type: 'spki', format: 'der' })
const THUMBPRINT = createHash('sha256').update(certificate).digest('base64url')
const certificateKey = {
  ...appKey.privateKey.export({ format: 'jwk' }),
  'x5t#S256': THUMBPRINT
} as NonNullable<ProviderOptions['clientKeys']>
const oktaKey = {
  ...appKey.privateKey.export({ format: 'jwk' }),
  kid: 'the-key',
  alg: 'RS256'
} as NonNullable<ProviderOptions['clientKeys']>

/**
 * Looks at a client assertion (RFC 7523, section 3): what is wrong with it, or undefined.
 * @param lifetime seconds that it may be good for
 * @param header what is wrong with its header
 */
function assertionCheck (
  audience: string,
  lifetime: number,
  algorithms: string[],
  header: (header: Record<string, unknown>) => unknown
): ClientCheck {
  const seen = new Set<unknown>()
  return (form) => {
    const problems: unknown[] = []
    const expect = (what: string, fine: boolean) => { if (!fine) problems.push(what) }
    const jwt = verifiedClaims(form.get('client_assertion') ?? '', appKey.publicKey)
    const { iss, sub, aud, exp, jti } = jwt?.claims ?? {}
    const now = Date.now() / 1000
    expect('type', form.get('client_assertion_type') === 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
    expect('secret', form.get('client_secret') === null)
    expect('signature', jwt !== undefined && algorithms.includes(String(jwt.header.alg)))
    expect('iss and sub', iss === form.get('client_id') && sub === iss)
    expect('aud', aud === audience)
    expect('exp', Number(exp) > now && Number(exp) <= now + lifetime)
    expect('jti', typeof jti === 'string' && !seen.has(jti))
    seen.add(jti)
    expect('header', jwt !== undefined && header(jwt.header) === true)
    return problems.length === 0 ? undefined : `the client assertion: ${problems.join()} of ${JSON.stringify(jwt)}`
  }
}

/** "Certificate credentials": the newer text of the page, and the algorithm of the older one. */
const microsoftAssertion = (audience: string) => assertionCheck(
  audience,
  600,
  ['PS256'],
  ({ typ, 'x5t#S256': x5t }) => typ === 'JWT' && x5t === THUMBPRINT
)
/** "Build a JWT for Client Authentication". */
const oktaAssertion = (audience: string) => assertionCheck(audience, 3600, ['RS256'], ({ kid }) => kid === 'the-key')

/** One preset, and what its provider has documented. */
export interface PresetCase extends ProviderFacts {
  preset: (options: PresetOptions) => ProviderOptions
  title: string
  /** Where the browser is sent, without the query. None: the user name and password are posted to the app. */
  authorizationEndpoint?: string
  /** Parameters that the provider wants there, beside those that every login has. */
  authorization?: Record<string, string | null>
  responseMode?: 'form_post'
  /** What else a browser's POST brings back. */
  posted?: Record<string, string>
  user: Omit<User, 'raw'> | null
  scope: string[]
  /** A call to the API: what the handler writes, and what is to go out; `{token}` stands for the access token. */
  call?: { url: string, sent: string, headers?: Record<string, string> }
  /** What a logout does at the provider. */
  logout: { revokes: boolean, location?: RegExp }
  /** False where a refresh ends the old token at once. */
  refreshAhead?: false
  /** The token has no end, as far as the answer tells, and is not refreshed. */
  endless?: boolean
}

// Claims as each provider's documentation has them.
const alice = { name: 'Alice Adams', email: 'alice@example.com', picture: 'https://img.example/alice.png' }
const bearer = { authorization: 'Bearer {token}' }

function metadata (issuer: string, endpoints: Record<string, string>): Record<string, unknown> {
  return {
    issuer,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    ...endpoints
  }
}

const PERSONAL_TENANT = '9188040d-6c67-4c5b-b112-36a304b66dad'
const TENANT = '8eaef023-2b34-4da1-9baa-8bc8c9d6a490'
const POOL = 'https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI'
const UPDATED_POOL = 'https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI'

const google: Omit<PresetCase, 'preset' | 'tokens' | 'refreshed' | 'refused'> = {
  title: 'Google',
  authorizationEndpoint: 'https://accounts.google.com/o/oauth2/v2/auth',
  client: 'basic',
  tokenEndpoint: 'https://oauth2.googleapis.com/token',
  idToken: { iss: 'https://accounts.google.com', sub: '10769150350006150715113082367', email_verified: true, ...alice },
  documents: {
    'https://accounts.google.com/.well-known/openid-configuration': metadata('https://accounts.google.com', {
      authorization_endpoint: 'https://accounts.google.com/o/oauth2/v2/auth',
      token_endpoint: 'https://oauth2.googleapis.com/token',
      userinfo_endpoint: 'https://openidconnect.googleapis.com/v1/userinfo',
      revocation_endpoint: 'https://oauth2.googleapis.com/revoke',
      jwks_uri: 'https://www.googleapis.com/oauth2/v3/certs'
    }),
    'https://www.googleapis.com/oauth2/v3/certs': '{keys}'
  },
  revocationEndpoint: 'https://oauth2.googleapis.com/revoke',
  user: { id: '10769150350006150715113082367', emailVerified: true, ...alice },
  scope: ['openid', 'email', 'profile'],
  call: {
    url: 'calendar/v3/users/me/calendarList',
    sent: 'https://www.googleapis.com/calendar/v3/users/me/calendarList',
    headers: bearer
  },
  logout: { revokes: false }
}
const GOOGLE_SCOPE =
  'openid https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile'

const ENTRA = 'https://login.microsoftonline.com'

const microsoft = (
  tenant: string, tid: string, server = ENTRA, graph = 'https://graph.microsoft.com'
): Omit<PresetCase, 'preset'> => ({
  title: 'Microsoft',
  authorizationEndpoint: `${server}/${tenant}/oauth2/v2.0/authorize`,
  authorization: { scope: 'openid profile email offline_access' },
  client: 'form',
  tokenEndpoint: `${server}/${tenant}/oauth2/v2.0/token`,
  tokens: {
    token_type: 'Bearer',
    scope: 'openid profile email',
    expires_in: 3599,
    access_token: '{access}',
    refresh_token: '{refresh}',
    id_token: '{id}'
  },
  refreshed: {
    token_type: 'Bearer',
    scope: 'openid profile email',
    expires_in: 3599,
    access_token: '{access}',
    refresh_token: '{refresh}',
    id_token: '{id}'
  },
  refused: {
    status: 400,
    body: {
      error: 'invalid_grant',
      error_description: 'AADSTS700082: The refresh token has expired',
      error_codes: [700082]
    }
  },
  idToken: {
    iss: `${server}/${tid}/v2.0`,
    sub: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ',
    tid,
    ver: '2.0',
    name: 'Alice Adams',
    preferred_username: 'alice@contoso.example',
    email: 'alice@example.com'
  },
  documents: { [`${server}/${tenant}/discovery/v2.0/keys`]: '{keys}' },
  keyIssuer: tid === PERSONAL_TENANT ? `${server}/${tid}/v2.0` : `${server}/{tenantid}/v2.0`,
  // An address of Microsoft's is never known to be verified.
  user: { id: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ', name: 'Alice Adams', email: 'alice@example.com' },
  scope: ['openid', 'profile', 'email'],
  call: { url: 'me', sent: `${graph}/v1.0/me`, headers: bearer },
  logout: {
    revokes: false,
    location: new RegExp(`^${server}/${tenant}/oauth2/v2\\.0/logout\\?.*post_logout_redirect_uri=`)
  }
})

const gitlab = (server: string): Omit<PresetCase, 'preset'> => ({
  title: 'GitLab',
  refreshAhead: false,
  authorizationEndpoint: `${server}/oauth/authorize`,
  authorization: { scope: 'openid profile email' },
  client: 'form',
  tokenEndpoint: `${server}/oauth/token`,
  tokens: {
    access_token: '{access}',
    token_type: 'bearer',
    expires_in: 7200,
    refresh_token: '{refresh}',
    created_at: 1607635748,
    scope: 'openid profile email',
    id_token: '{id}'
  },
  refreshed: {
    access_token: '{access}',
    token_type: 'bearer',
    expires_in: 7200,
    refresh_token: '{refresh}',
    created_at: 1628711391,
    scope: 'openid profile email'
  },
  refused: {
    status: 400,
    body: {
      error: 'invalid_grant',
      error_description: 'The provided authorization grant is invalid, expired, revoked, …'
    }
  },
  idToken: {
    iss: server,
    sub: '42',
    name: 'Alice Adams',
    nickname: 'alice',
    preferred_username: 'alice',
    email: 'alice@example.com',
    email_verified: true,
    picture: alice.picture
  },
  documents: {
    [`${server}/.well-known/openid-configuration`]: metadata(server, {
      authorization_endpoint: `${server}/oauth/authorize`,
      token_endpoint: `${server}/oauth/token`,
      revocation_endpoint: `${server}/oauth/revoke`,
      userinfo_endpoint: `${server}/oauth/userinfo`,
      jwks_uri: `${server}/oauth/discovery/keys`
    }),
    [`${server}/oauth/discovery/keys`]: '{keys}'
  },
  revocationEndpoint: `${server}/oauth/revoke`,
  user: { id: '42', emailVerified: true, ...alice },
  scope: ['openid', 'profile', 'email'],
  call: { url: 'projects?membership=true', sent: `${server}/api/v4/projects?membership=true`, headers: bearer },
  logout: { revokes: true }
})

const github = (server: string, api: string): Omit<PresetCase, 'preset'> => ({
  title: 'GitHub',
  refreshAhead: false,
  authorizationEndpoint: `${server}/login/oauth/authorize`,
  authorization: { scope: 'read:user user:email' },
  client: 'form',
  tokenEndpoint: `${server}/login/oauth/access_token`,
  tokens: { access_token: '{access}', scope: 'read:user,user:email', token_type: 'bearer' },
  profile: [
    {
      url: `${api}user`,
      answer: { login: 'alice', id: 583231, name: 'Alice Adams', email: null, avatar_url: alice.picture }
    },
    {
      url: `${api}user/emails`,
      answer: [
        { email: 'al@example.net', verified: false, primary: false, visibility: null },
        { email: 'alice@example.com', verified: true, primary: true, visibility: 'private' }
      ]
    }
  ],
  user: { id: '583231', emailVerified: true, ...alice },
  scope: ['read:user', 'user:email'],
  call: { url: 'user/repos', sent: `${api}user/repos`, headers: bearer },
  logout: { revokes: false }
})

/** An OpenID provider that follows the book. */
const openid = (issuer: string, endpoints: Record<string, string>): Omit<PresetCase, 'preset' | 'title'> => ({
  authorizationEndpoint: endpoints.authorization_endpoint!,
  client: 'basic',
  tokenEndpoint: endpoints.token_endpoint!,
  tokens: {
    access_token: '{access}',
    token_type: 'Bearer',
    expires_in: 3600,
    refresh_token: '{refresh}',
    id_token: '{id}',
    scope: 'openid profile email'
  },
  refreshed: {
    access_token: '{access}',
    token_type: 'Bearer',
    expires_in: 3600,
    refresh_token: '{refresh}',
    id_token: '{id}',
    scope: 'openid profile email'
  },
  refused: { status: 400, body: { error: 'invalid_grant', error_description: 'Unknown or invalid refresh token.' } },
  idToken: { iss: issuer, sub: 'auth|alice', email_verified: true, ...alice },
  documents: {
    [`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`]: metadata(issuer, endpoints),
    [endpoints.jwks_uri!]: '{keys}'
  },
  revocationEndpoint: endpoints.revocation_endpoint!,
  user: { id: 'auth|alice', emailVerified: true, ...alice },
  scope: ['openid', 'profile', 'email'],
  logout: { revokes: true, location: new RegExp(`^${endpoints.end_session_endpoint}\\?id_token_hint=`) }
})

const oktaDefault = openid('https://example.okta.com/oauth2/default', {
  authorization_endpoint: 'https://example.okta.com/oauth2/default/v1/authorize',
  token_endpoint: 'https://example.okta.com/oauth2/default/v1/token',
  userinfo_endpoint: 'https://example.okta.com/oauth2/default/v1/userinfo',
  revocation_endpoint: 'https://example.okta.com/oauth2/default/v1/revoke',
  end_session_endpoint: 'https://example.okta.com/oauth2/default/v1/logout',
  jwks_uri: 'https://example.okta.com/oauth2/default/v1/keys'
})

const slack = {
  title: 'Slack',
  authorizationEndpoint: 'https://slack.com/oauth/v2/authorize',
  client: 'basic',
  pkce: 'refused',
  tokenEndpoint: 'https://slack.com/api/oauth.v2.access',
  refused: { status: 200, body: { ok: false, error: 'invalid_refresh_token' } },
  call: { url: 'conversations.list', sent: 'https://slack.com/api/conversations.list', headers: bearer },
  logout: { revokes: false }
} as const

const apple: PresetCase = {
  preset: ({ clientSecret: _none, ...options }) =>
    presets.apple({
      ...options,
      teamId: 'TEAM123456',
      keyId: 'KEY1234567',
      privateKey: APPLE_KEY.replaceAll('\n', '\\n')
    }),
  title: 'Apple',
  authorizationEndpoint: 'https://appleid.apple.com/auth/authorize',
  authorization: { scope: 'openid name email', response_mode: 'form_post' },
  responseMode: 'form_post',
  posted: { user: '{"name":{"firstName":"Alice","lastName":"Adams"},"email":"alice@example.com"}' },
  client: form => {
    const jwt = verifiedClaims(form.get('client_secret') ?? '', appleKey.publicKey)
    const { iss, sub, aud, exp, iat } = jwt?.claims ?? {}
    const fine =
      jwt?.header.alg === 'ES256' &&
      jwt.header.kid === 'KEY1234567' &&
      iss === 'TEAM123456' &&
      sub === form.get('client_id') &&
      aud === 'https://appleid.apple.com' &&
      Number(exp) > Date.now() / 1000 &&
      Number(exp) - Number(iat) <= 15_777_000
    return fine ? undefined : `the client secret is ${JSON.stringify(jwt)}`
  },
  tokenEndpoint: 'https://appleid.apple.com/auth/token',
  tokens: {
    access_token: '{access}',
    token_type: 'Bearer',
    expires_in: 3600,
    refresh_token: '{refresh}',
    id_token: '{id}'
  },
  refreshed: { access_token: '{access}', token_type: 'Bearer', expires_in: 3600, id_token: '{id}' },
  refused: { status: 400, body: { error: 'invalid_grant' } },
  idToken: {
    iss: 'https://appleid.apple.com',
    sub: '001234.0a1b2c3d4e5f.0123',
    email: 'abc123@privaterelay.appleid.com',
    email_verified: 'true',
    is_private_email: 'true',
    nonce_supported: true
  },
  documents: {
    'https://appleid.apple.com/auth/keys': '{keys}'
  },
  revocationEndpoint: 'https://appleid.apple.com/auth/revoke',
  user: { id: '001234.0a1b2c3d4e5f.0123', email: 'abc123@privaterelay.appleid.com', emailVerified: true },
  scope: ['openid', 'name', 'email'],
  logout: { revokes: false }
}

const x: PresetCase = {
  preset: options => presets.x({ ...options, scope: ['tweet.read', 'users.read', 'offline.access'] }),
  title: 'X',
  authorizationEndpoint: 'https://x.com/i/oauth2/authorize',
  authorization: { scope: 'tweet.read users.read offline.access' },
  client: 'basic',
  tokenEndpoint: 'https://api.x.com/2/oauth2/token',
  tokens: {
    token_type: 'bearer',
    expires_in: 7200,
    access_token: '{access}',
    scope: 'users.read tweet.read offline.access',
    refresh_token: '{refresh}'
  },
  refreshed: {
    token_type: 'bearer',
    expires_in: 7200,
    access_token: '{access}',
    scope: 'users.read tweet.read offline.access',
    refresh_token: '{refresh}'
  },
  refused: {
    status: 400,
    body: { error: 'invalid_grant', error_description: 'Value passed for the token was invalid.' }
  },
  profile: {
    url: 'https://api.x.com/2/users/me?user.fields=profile_image_url',
    answer: { data: { id: '2244994945', name: 'Alice Adams', username: 'alice', profile_image_url: alice.picture } }
  },
  revocationEndpoint: 'https://api.x.com/2/oauth2/revoke',
  user: { id: '2244994945', name: 'Alice Adams', picture: alice.picture },
  scope: ['users.read', 'tweet.read', 'offline.access'],
  call: {
    url: 'tweets/search/recent?query=tea',
    sent: 'https://api.x.com/2/tweets/search/recent?query=tea',
    headers: bearer
  },
  logout: { revokes: true }
}

const instagram: PresetCase = {
  preset: options => presets.instagram({
    ...options,
    scope: ['instagram_business_basic', 'instagram_business_manage_comments']
  }),
  title: 'Instagram',
  authorizationEndpoint: 'https://www.instagram.com/oauth/authorize',
  authorization: { scope: 'instagram_business_basic,instagram_business_manage_comments' },
  client: 'form',
  pkce: 'refused',
  tokenEndpoint: 'https://api.instagram.com/oauth/access_token',
  tokens: {
    data: [
      {
        access_token: '{access}',
        user_id: '1020',
        permissions: 'instagram_business_basic,instagram_business_manage_comments'
      }
    ]
  },
  profile: {
    url: 'https://graph.instagram.com/me?fields=user_id,username,name,profile_picture_url',
    token: 'query',
    answer: { user_id: '17841405793187218', username: 'alice', profile_picture_url: alice.picture, id: '1020' }
  },
  user: { id: '17841405793187218', name: 'alice', picture: alice.picture },
  scope: ['instagram_business_basic', 'instagram_business_manage_comments'],
  call: { url: 'me/media?fields=id', sent: 'https://graph.instagram.com/me/media?fields=id&access_token={token}' },
  logout: { revokes: false }
}

/** The example of "users/show". */
const weiboProfile = {
  id: 1404376560,
  screen_name: 'zaku',
  name: 'zaku',
  profile_image_url: 'http://tp1.sinaimg.cn/1404376560/50/0/1',
  avatar_large: alice.picture
}

const weibo: PresetCase = {
  preset: options => presets.weibo({ ...options, scope: ['email', 'friendships_groups_read'] }),
  title: 'Weibo',
  authorizationEndpoint: 'https://api.weibo.com/oauth2/authorize',
  authorization: { scope: 'email,friendships_groups_read' },
  client: 'form',
  tokenEndpoint: 'https://api.weibo.com/oauth2/access_token',
  tokens: { access_token: '{access}', expires_in: '7200', remind_in: '7200', uid: '1404376560' },
  profile: { url: 'https://api.weibo.com/2/users/show.json?uid=1404376560', token: 'query', answer: weiboProfile },
  user: { id: '1404376560', name: 'zaku', picture: alice.picture },
  scope: ['email', 'friendships_groups_read'],
  call: {
    url: 'statuses/user_timeline.json?count=1',
    sent: 'https://api.weibo.com/2/statuses/user_timeline.json?count=1&access_token={token}'
  },
  logout: { revokes: false }
}

const cognito: PresetCase = {
  preset: options => presets.cognito({
    ...options,
    domain: 'example.auth.eu-west-1.amazoncognito.com',
    region: 'eu-west-1',
    userPoolId: 'eu-west-1_AbCdEfGhI',
    logoutUri: 'https://app.example.com/'
  }),
  title: 'Amazon Cognito',
  authorizationEndpoint: 'https://example.auth.eu-west-1.amazoncognito.com/oauth2/authorize',
  authorization: { scope: 'openid profile email' },
  client: 'basic',
  tokenEndpoint: 'https://example.auth.eu-west-1.amazoncognito.com/oauth2/token',
  tokens: {
    access_token: '{access}',
    refresh_token: '{refresh}',
    id_token: '{id}',
    token_type: 'Bearer',
    expires_in: 3600
  },
  refreshed: { id_token: '{id}', access_token: '{access}', token_type: 'Bearer', expires_in: 3600 },
  refused: { status: 400, body: { error: 'invalid_grant' } },
  idToken: { iss: POOL, sub: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', token_use: 'id', email_verified: true, ...alice },
  documents: { [`${POOL}/.well-known/jwks.json`]: '{keys}' },
  revocationEndpoint: 'https://example.auth.eu-west-1.amazoncognito.com/oauth2/revoke',
  user: { id: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', emailVerified: true, ...alice },
  scope: ['openid', 'profile', 'email'],
  logout: {
    revokes: true,
    location: /^https:\/\/example\..*\.com\/logout\?logout_uri=https%3A%2F%2Fapp\.example\.com%2F&.*client_id=/
  }
}

/** Every preset, some in more than one way. What stands before a comma is the preset's name. */
export const presetCases: Record<string, PresetCase> = {
  google: {
    ...google,
    preset: presets.google,
    authorization: { scope: 'openid profile email', access_type: null, prompt: null },
    tokens: { access_token: '{access}', expires_in: 3599, scope: GOOGLE_SCOPE, token_type: 'Bearer', id_token: '{id}' }
  },

  'google, offline': {
    ...google,
    preset: options => presets.google({ ...options, offline: true }),
    authorization: { scope: 'openid profile email', access_type: 'offline', prompt: 'consent' },
    tokens: {
      access_token: '{access}',
      expires_in: 3599,
      refresh_token: '{refresh}',
      scope: GOOGLE_SCOPE,
      token_type: 'Bearer',
      id_token: '{id}'
    },
    refreshed: {
      access_token: '{access}',
      expires_in: 3599,
      scope: GOOGLE_SCOPE,
      token_type: 'Bearer',
      id_token: '{id}'
    },
    refused: { status: 400, body: { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' } }
  },

  'google, as legacy implementations know it': {
    ...google,
    preset: presets.google,
    tokens: { access_token: '{access}', expires_in: 3599, scope: GOOGLE_SCOPE, token_type: 'Bearer', id_token: '{id}' },
    idToken: { ...google.idToken, iss: 'accounts.google.com' }
  },

  'github, an OAuth app': {
    preset: options => presets.github({ ...options, scope: ['read:user', 'repo'] }),
    title: 'GitHub',
    refreshAhead: false,
    authorizationEndpoint: 'https://github.com/login/oauth/authorize',
    authorization: { scope: 'read:user repo' },
    client: 'form',
    tokenEndpoint: 'https://github.com/login/oauth/access_token',
    tokens: { access_token: '{access}', scope: 'read:user,repo', token_type: 'bearer' },
    // The public address, of which nothing is said: the addresses were not asked for.
    profile: {
      url: 'https://api.github.com/user',
      answer: { login: 'alice', id: 583231, name: null, email: 'alice@example.com', avatar_url: alice.picture }
    },
    user: { id: '583231', name: 'alice', email: 'alice@example.com', picture: alice.picture },
    scope: ['read:user', 'repo'],
    call: { url: 'user/repos', sent: 'https://api.github.com/user/repos', headers: bearer },
    logout: { revokes: false },
    endless: true
  },

  'github, an OAuth app with expiring tokens': {
    ...github('https://github.com', 'https://api.github.com/'),
    preset: options => presets.github({ ...options, scope: ['read:user', 'user:email', 'offline_access'] }),
    authorization: { scope: 'read:user user:email offline_access' },
    tokens: {
      access_token: '{access}',
      expires_in: 28800,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 15897600,
      scope: 'read:user,user:email,offline_access',
      token_type: 'bearer'
    },
    refreshed: {
      access_token: '{access}',
      expires_in: 28800,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 15897600,
      scope: 'read:user,user:email,offline_access',
      token_type: 'bearer'
    },
    refused: {
      status: 200,
      body: { error: 'bad_refresh_token', error_description: 'The refresh token passed is incorrect or expired.' }
    },
    scope: ['read:user', 'user:email', 'offline_access']
  },

  'github, Enterprise Server': {
    ...github('https://github.example.com', 'https://github.example.com/api/v3/'),
    preset: options => presets.github({ ...options, enterprise: { baseUrl: 'https://github.example.com/' } }),
    endless: true
  },

  'github, on GHE.com': {
    ...github('https://octocorp.ghe.com', 'https://api.octocorp.ghe.com/'),
    preset: options => presets.github({ ...options, enterprise: { baseUrl: 'octocorp.ghe.com' } }),
    endless: true
  },

  'github, a GitHub App': {
    preset: presets.github,
    title: 'GitHub',
    refreshAhead: false,
    authorizationEndpoint: 'https://github.com/login/oauth/authorize',
    client: 'form',
    tokenEndpoint: 'https://github.com/login/oauth/access_token',
    tokens: {
      access_token: '{access}',
      expires_in: 28800,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 15897600,
      token_type: 'bearer',
      scope: ''
    },
    refreshed: {
      access_token: '{access}',
      expires_in: 28800,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 15897600,
      token_type: 'bearer',
      scope: ''
    },
    refused: {
      status: 200,
      body: { error: 'bad_refresh_token', error_description: 'The refresh token passed is incorrect or expired.' }
    },
    profile: [
      {
        url: 'https://api.github.com/user',
        answer: { login: 'alice', id: 583231, name: 'Alice Adams', email: null, avatar_url: alice.picture }
      },
      // Without the permission "Email addresses".
      {
        url: 'https://api.github.com/user/emails',
        status: 403,
        answer: { message: 'Resource not accessible by integration' }
      }
    ],
    user: { id: '583231', name: 'Alice Adams', picture: alice.picture },
    scope: ['read:user', 'user:email'],
    call: {
      url: 'https://api.github.com/user/installations',
      sent: 'https://api.github.com/user/installations',
      headers: bearer
    },
    logout: { revokes: false }
  },

  gitlab: { ...gitlab('https://gitlab.com'), preset: presets.gitlab },
  'gitlab, self-managed': {
    ...gitlab('https://git.example.com/gitlab'),
    preset: options => presets.gitlab({ ...options, baseUrl: 'https://git.example.com/gitlab/' })
  },

  'microsoft, any tenant': {
    ...microsoft('common', PERSONAL_TENANT),
    preset: options => presets.microsoft({ ...options, scope: 'openid profile email offline_access' })
  },
  'microsoft, one tenant': {
    ...microsoft(TENANT, TENANT),
    preset: options => presets.microsoft({ ...options, tenant: TENANT, scope: 'openid profile email offline_access' })
  },
  'microsoft, a tenant by its domain': {
    ...microsoft('contoso.onmicrosoft.com', TENANT),
    preset: options =>
      presets.microsoft({ ...options, tenant: 'contoso.onmicrosoft.com', scope: 'openid profile email offline_access' })
  },

  'microsoft, in the cloud of the US government': {
    ...microsoft(TENANT, TENANT, 'https://login.microsoftonline.us', 'https://graph.microsoft.us'),
    preset: options => presets.microsoft({
      ...options,
      authority: 'https://login.microsoftonline.us/',
      tenant: TENANT,
      scope: 'openid profile email offline_access'
    })
  },
  'microsoft, in China': {
    ...microsoft(
      'common',
      TENANT,
      'https://login.partner.microsoftonline.cn',
      'https://microsoftgraph.chinacloudapi.cn'
    ),
    preset: options => presets.microsoft({
      ...options,
      authority: 'https://login.partner.microsoftonline.cn',
      scope: 'openid profile email offline_access'
    })
  },
  'microsoft, with a certificate': {
    ...microsoft(TENANT, TENANT),
    client: microsoftAssertion(`${ENTRA}/${TENANT}/oauth2/v2.0/token`),
    preset: ({ clientSecret: _none, ...options }) => presets.microsoft({
      ...options,
      tenant: TENANT,
      scope: 'openid profile email offline_access',
      clientAuthentication: 'private_key_jwt',
      clientKeys: certificateKey
    })
  },
  'microsoft, with a certificate and its key as PEM': {
    ...microsoft(TENANT, TENANT),
    client: microsoftAssertion(`${ENTRA}/${TENANT}/oauth2/v2.0/token`),
    preset: ({ clientSecret: _none, ...options }) => presets.microsoft({
      ...options,
      tenant: TENANT,
      scope: 'openid profile email offline_access',
      clientAuthentication: 'private_key_jwt',
      clientKeys: appKey.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      clientAssertion: { header: { 'x5t#S256': THUMBPRINT } }
    })
  },

  apple,
  'apple, by its other name': { ...apple, idToken: { ...apple.idToken, iss: 'https://account.apple.com' } },
  'apple, an account that an organization manages': {
    ...apple,
    posted: {},
    idToken: { ...apple.idToken, email: 'alice@school.example', email_verified: 'false', is_private_email: 'false' },
    user: { id: '001234.0a1b2c3d4e5f.0123', email: 'alice@school.example', emailVerified: false }
  },

  facebook: {
    preset: presets.facebook,
    title: 'Facebook',
    authorizationEndpoint: 'https://www.facebook.com/v26.0/dialog/oauth',
    authorization: { scope: 'public_profile,email' },
    client: 'form',
    pkce: 'refused',
    tokenEndpoint: 'https://graph.facebook.com/v26.0/oauth/access_token',
    tokens: { access_token: '{access}', token_type: 'bearer', expires_in: 5183944 },
    profile: {
      url: 'https://graph.facebook.com/v26.0/me?fields=id,name,email,picture',
      answer: {
        id: '10150000000000001',
        name: 'Alice Adams',
        email: 'alice@example.com',
        picture: { data: { height: 50, is_silhouette: false, url: alice.picture, width: 50 } }
      }
    },
    user: { id: '10150000000000001', ...alice },
    scope: ['public_profile', 'email'],
    call: { url: 'me/permissions', sent: 'https://graph.facebook.com/v26.0/me/permissions', headers: bearer },
    logout: { revokes: false }
  },

  instagram,
  'instagram, a profile in a list': {
    ...instagram,
    profile: {
      url: 'https://graph.instagram.com/me?fields=user_id,username,name,profile_picture_url',
      token: 'query',
      answer: { data: [{ user_id: '17841405793187218', username: 'alice', profile_picture_url: alice.picture }] }
    }
  },

  linkedin: {
    preset: presets.linkedin,
    title: 'LinkedIn',
    authorizationEndpoint: 'https://www.linkedin.com/oauth/v2/authorization',
    authorization: { scope: 'openid profile email', nonce: null },
    client: 'form',
    pkce: 'refused',
    tokenEndpoint: 'https://www.linkedin.com/oauth/v2/accessToken',
    tokens: {
      access_token: '{access}',
      expires_in: 5184000,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 31536000,
      scope: 'email,openid,profile',
      token_type: 'Bearer',
      id_token: '{id}'
    },
    refreshed: {
      access_token: '{access}',
      expires_in: 5184000,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 439200,
      scope: 'email,openid,profile',
      token_type: 'Bearer'
    },
    refused: {
      status: 400,
      body: {
        error: 'invalid_grant',
        error_description: 'The provided authorization grant or refresh token is invalid, expired or revoked.'
      }
    },
    idToken: { iss: 'https://www.linkedin.com/oauth', sub: '782bbtaQ' },
    withoutNonce: true,
    profile: {
      url: 'https://api.linkedin.com/v2/userinfo',
      answer: {
        sub: '782bbtaQ',
        given_name: 'Alice',
        family_name: 'Adams',
        locale: 'en-US',
        email_verified: true,
        ...alice
      }
    },
    user: { id: '782bbtaQ', emailVerified: true, ...alice },
    scope: ['email', 'openid', 'profile'],
    call: { url: 'rest/me', sent: 'https://api.linkedin.com/rest/me', headers: bearer },
    logout: { revokes: false }
  },

  x,
  'x, with the address': {
    ...x,
    preset: options => presets.x({ ...options, scope: 'tweet.read users.read users.email offline.access' }),
    authorization: { scope: 'tweet.read users.read users.email offline.access' },
    profile: {
      url: 'https://api.x.com/2/users/me?user.fields=profile_image_url,confirmed_email',
      answer: {
        data: { id: '2244994945', name: 'Alice Adams', username: 'alice', confirmed_email: 'alice@example.com' }
      }
    },
    user: { id: '2244994945', name: 'Alice Adams', email: 'alice@example.com', emailVerified: true }
  },

  'slack, a user with token rotation': {
    ...slack,
    preset: options => presets.slack({ ...options, userScope: ['users:read', 'channels:read'] }),
    authorization: { scope: null, user_scope: 'users:read,channels:read' },
    tokens: {
      ok: true,
      app_id: 'A1',
      team: { id: 'T1', name: 'Tea' },
      enterprise: null,
      authed_user: {
        id: 'U1',
        scope: 'users:read,channels:read',
        access_token: '{access}',
        token_type: 'user',
        expires_in: 43200,
        refresh_token: '{refresh}'
      }
    },
    refreshed: {
      ok: true,
      app_id: 'A1',
      access_token: '{access}',
      token_type: 'user',
      expires_in: 43200,
      refresh_token: '{refresh}',
      scope: 'users:read,channels:read',
      team: { id: 'T1', name: 'Tea' }
    },
    profile: {
      url: 'https://slack.com/api/auth.test',
      answer: { ok: true, url: 'https://tea.slack.com/', team: 'Tea', user: 'alice', team_id: 'T1', user_id: 'U1' }
    },
    user: { id: 'U1', name: 'alice' },
    scope: ['users:read', 'channels:read']
  },

  'slack, a bot': {
    ...slack,
    preset: options => presets.slack({ ...options, scope: ['chat:write', 'commands'] }),
    authorization: { scope: 'chat:write,commands', user_scope: null },
    tokens: {
      ok: true,
      access_token: '{access}',
      token_type: 'bot',
      scope: 'chat:write,commands',
      bot_user_id: 'B1',
      app_id: 'A1',
      expires_in: 43200,
      refresh_token: '{refresh}',
      team: { id: 'T1', name: 'Tea' },
      enterprise: null,
      authed_user: { id: 'U1' }
    },
    refreshed: {
      ok: true,
      access_token: '{access}',
      token_type: 'bot',
      scope: 'chat:write,commands',
      bot_user_id: 'B1',
      app_id: 'A1',
      expires_in: 43200,
      refresh_token: '{refresh}',
      team: { id: 'T1', name: 'Tea' }
    },
    // Not the bot: all members of the workspace would be one user.
    user: null,
    scope: ['chat:write', 'commands']
  },

  'slack, a bot installed and a user acted as': {
    ...slack,
    preset: options => presets.slack({ ...options, scope: ['commands'], userScope: ['users:read'], actAs: 'user' }),
    authorization: { scope: 'commands', user_scope: 'users:read' },
    tokens: {
      ok: true,
      access_token: 'xoxb-bot',
      token_type: 'bot',
      scope: 'commands',
      refresh_token: 'xoxe-bot',
      expires_in: 43200,
      authed_user: { id: 'U1', scope: 'users:read', access_token: '{access}', token_type: 'user' }
    },
    profile: { url: 'https://slack.com/api/auth.test', answer: { ok: true, user: 'alice', user_id: 'U1' } },
    user: { id: 'U1', name: 'alice' },
    scope: ['users:read'],
    endless: true
  },

  'slack, Sign in with Slack': {
    preset: presets.slack,
    title: 'Slack',
    authorizationEndpoint: 'https://slack.com/openid/connect/authorize',
    authorization: { scope: 'openid profile email', user_scope: null },
    client: 'basic',
    pkce: 'refused',
    tokenEndpoint: 'https://slack.com/api/openid.connect.token',
    tokens: { ok: true, access_token: '{access}', token_type: 'Bearer', id_token: '{id}' },
    idToken: {
      iss: 'https://slack.com',
      sub: 'U0R7JM',
      auth_time: 1626874655,
      'https://slack.com/user_id': 'U0R7JM',
      'https://slack.com/team_id': 'T0R7GR',
      email: 'alice@example.com',
      email_verified: true,
      name: 'Alice Adams'
    },
    documents: { 'https://slack.com/openid/connect/keys': '{keys}' },
    profile: {
      url: 'https://slack.com/api/openid.connect.userInfo',
      answer: {
        ok: true,
        sub: 'U0R7JM',
        'https://slack.com/user_id': 'U0R7JM',
        'https://slack.com/team_id': 'T0R7GR',
        email_verified: true,
        date_email_verified: 1622128723,
        locale: 'en-US',
        ...alice
      }
    },
    user: { id: 'U0R7JM', emailVerified: true, ...alice },
    scope: ['openid', 'profile', 'email'],
    call: { url: 'openid.connect.keys', sent: 'https://slack.com/api/openid.connect.keys', headers: bearer },
    logout: { revokes: false },
    endless: true
  },

  discord: {
    preset: presets.discord,
    title: 'Discord',
    authorizationEndpoint: 'https://discord.com/oauth2/authorize',
    authorization: { scope: 'identify email' },
    client: 'basic',
    tokenEndpoint: 'https://discord.com/api/oauth2/token',
    tokens: {
      access_token: '{access}',
      token_type: 'Bearer',
      expires_in: 604800,
      refresh_token: '{refresh}',
      scope: 'identify email'
    },
    refreshed: {
      access_token: '{access}',
      token_type: 'Bearer',
      expires_in: 604800,
      refresh_token: '{refresh}',
      scope: 'identify email'
    },
    refused: { status: 400, body: { error: 'invalid_grant' } },
    profile: {
      url: 'https://discord.com/api/v10/users/@me',
      answer: {
        id: '80351110224678912',
        username: 'alice',
        discriminator: '0',
        global_name: 'Alice Adams',
        avatar: '8342729096ea3675442027381ff50dfe',
        verified: true,
        email: 'alice@example.com'
      }
    },
    revocationEndpoint: 'https://discord.com/api/oauth2/token/revoke',
    user: {
      id: '80351110224678912',
      name: 'Alice Adams',
      email: 'alice@example.com',
      emailVerified: true,
      picture: 'https://cdn.discordapp.com/avatars/80351110224678912/8342729096ea3675442027381ff50dfe.png'
    },
    scope: ['identify', 'email'],
    call: { url: 'users/@me/guilds', sent: 'https://discord.com/api/v10/users/@me/guilds', headers: bearer },
    logout: { revokes: false }
  },

  twitch: {
    preset: presets.twitch,
    title: 'Twitch',
    authorizationEndpoint: 'https://id.twitch.tv/oauth2/authorize',
    authorization: {
      scope: 'openid user:read:email',
      claims:
        '{"id_token":{"email":null,"email_verified":null,"picture":null,"preferred_username":null},' +
        '"userinfo":{"email":null,"email_verified":null,"picture":null,"preferred_username":null}}'
    },
    client: 'form',
    tokenEndpoint: 'https://id.twitch.tv/oauth2/token',
    tokens: {
      access_token: '{access}',
      expires_in: 14124,
      id_token: '{id}',
      refresh_token: '{refresh}',
      scope: ['openid', 'user:read:email'],
      token_type: 'bearer'
    },
    refreshed: {
      access_token: '{access}',
      refresh_token: '{refresh}',
      scope: ['openid', 'user:read:email'],
      token_type: 'bearer'
    },
    refused: { status: 400, body: { error: 'Bad Request', status: 400, message: 'Invalid refresh token' } },
    idToken: {
      iss: 'https://id.twitch.tv/oauth2',
      sub: '713936733',
      azp: 'Client-Id_1.x',
      email: 'alice@example.com',
      email_verified: true,
      picture: alice.picture,
      preferred_username: 'AliceAdams'
    },
    documents: {
      'https://id.twitch.tv/oauth2/.well-known/openid-configuration': metadata('https://id.twitch.tv/oauth2', {
        authorization_endpoint: 'https://id.twitch.tv/oauth2/authorize',
        token_endpoint: 'https://id.twitch.tv/oauth2/token',
        userinfo_endpoint: 'https://id.twitch.tv/oauth2/userinfo',
        jwks_uri: 'https://id.twitch.tv/oauth2/keys'
      }),
      'https://id.twitch.tv/oauth2/keys': '{keys}'
    },
    revocationEndpoint: 'https://id.twitch.tv/oauth2/revoke',
    user: {
      id: '713936733',
      name: 'AliceAdams',
      email: 'alice@example.com',
      emailVerified: true,
      picture: alice.picture
    },
    scope: ['openid', 'user:read:email'],
    call: {
      url: 'streams?first=1',
      sent: 'https://api.twitch.tv/helix/streams?first=1',
      headers: { ...bearer, 'client-id': 'Client-Id_1.x' }
    },
    logout: { revokes: true }
  },

  spotify: {
    preset: presets.spotify,
    title: 'Spotify',
    authorizationEndpoint: 'https://accounts.spotify.com/authorize',
    authorization: { scope: 'user-read-private user-read-email' },
    client: 'basic',
    tokenEndpoint: 'https://accounts.spotify.com/api/token',
    tokens: {
      access_token: '{access}',
      token_type: 'Bearer',
      scope: 'user-read-email user-read-private',
      expires_in: 3600,
      refresh_token: '{refresh}'
    },
    refreshed: {
      access_token: '{access}',
      token_type: 'Bearer',
      scope: 'user-read-email user-read-private',
      expires_in: 3600
    },
    refused: { status: 400, body: { error: 'invalid_grant', error_description: 'Refresh token revoked' } },
    profile: {
      url: 'https://api.spotify.com/v1/me',
      answer: {
        account_id: 'Ac0uNt',
        id: 'alice',
        display_name: 'Alice Adams',
        email: 'alice@example.com',
        images: [{ url: alice.picture, height: 300, width: 300 }]
      }
    },
    user: { id: 'Ac0uNt', ...alice },
    scope: ['user-read-email', 'user-read-private'],
    call: { url: 'me/playlists', sent: 'https://api.spotify.com/v1/me/playlists', headers: bearer },
    logout: { revokes: false }
  },

  mailchimp: {
    preset: presets.mailchimp,
    title: 'Mailchimp',
    authorizationEndpoint: 'https://login.mailchimp.com/oauth2/authorize',
    authorization: { scope: null },
    client: 'form',
    tokenEndpoint: 'https://login.mailchimp.com/oauth2/token',
    tokens: { access_token: '{access}', expires_in: 0, scope: null },
    endless: true,
    profile: {
      url: 'https://login.mailchimp.com/oauth2/metadata',
      answer: {
        dc: 'us6',
        role: 'owner',
        accountname: 'Tea Ltd',
        user_id: 9001,
        login: { email: null, avatar: null, login_id: 17, login_name: 'alice', login_email: 'alice@example.com' },
        login_url: 'https://login.mailchimp.com',
        api_endpoint: 'https://us6.api.mailchimp.com'
      }
    },
    user: { id: '17', name: 'alice', email: 'alice@example.com' },
    scope: [],
    call: {
      url: 'https://us6.api.mailchimp.com/3.0/lists',
      sent: 'https://us6.api.mailchimp.com/3.0/lists',
      headers: bearer
    },
    logout: { revokes: false }
  },

  'weibo, a token answer without the uid': {
    ...weibo,
    tokens: { access_token: '{access}', expires_in: '7200' },
    profile: [
      { url: 'https://api.weibo.com/2/account/get_uid.json', token: 'query', answer: { uid: '1404376560' } },
      { url: 'https://api.weibo.com/2/users/show.json?uid=1404376560', token: 'query', answer: weiboProfile }
    ]
  },
  weibo,

  douban: {
    preset: options => presets.douban({ ...options, scope: ['shuo_basic_r', 'douban_basic_common'] }),
    title: 'Douban',
    authorizationEndpoint: 'https://www.douban.com/service/auth2/auth',
    authorization: { scope: 'shuo_basic_r,douban_basic_common' },
    client: 'form',
    tokenEndpoint: 'https://www.douban.com/service/auth2/token',
    tokens: { access_token: '{access}', douban_user_id: '1221', expires_in: 3920, refresh_token: '{refresh}' },
    refreshed: { access_token: '{access}', douban_user_id: '1221', expires_in: 3920, refresh_token: '{refresh}' },
    refused: { status: 400, body: { error: 'invalid_grant' } },
    profile: {
      url: 'https://api.douban.com/v2/user/~me',
      answer: { id: '1221', uid: 'alice', name: 'Alice Adams', avatar: alice.picture }
    },
    user: { id: '1221', name: 'Alice Adams', picture: alice.picture },
    scope: ['shuo_basic_r', 'douban_basic_common'],
    call: {
      url: 'book/1220562?fields=id',
      sent: 'https://api.douban.com/v2/book/1220562?fields=id&access_token={token}'
    },
    logout: { revokes: false }
  },

  ebay: {
    preset: presets.ebay,
    title: 'eBay',
    authorizationEndpoint: 'https://auth.ebay.com/oauth2/authorize',
    authorization: {
      scope: 'https://api.ebay.com/oauth/api_scope https://api.ebay.com/oauth/api_scope/commerce.identity.readonly'
    },
    client: 'basic',
    tokenEndpoint: 'https://api.ebay.com/identity/v1/oauth2/token',
    tokens: {
      access_token: '{access}',
      expires_in: 7200,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 47304000,
      token_type: 'User Access Token'
    },
    refreshed: { access_token: '{access}', expires_in: 7200, token_type: 'User Access Token' },
    refused: {
      status: 400,
      body: {
        error: 'invalid_grant',
        error_description: 'the provided authorization refresh token is invalid or was issued to another client'
      }
    },
    profile: {
      url: 'https://apiz.ebay.com/commerce/identity/v1/user/',
      answer: { userId: 'R4cXY==', username: 'alice', accountType: 'INDIVIDUAL' }
    },
    user: { id: 'R4cXY==', name: 'alice' },
    scope: ['https://api.ebay.com/oauth/api_scope', 'https://api.ebay.com/oauth/api_scope/commerce.identity.readonly'],
    call: {
      url: 'buy/browse/v1/item_summary/search?q=tea',
      sent: 'https://api.ebay.com/buy/browse/v1/item_summary/search?q=tea',
      headers: bearer
    },
    logout: { revokes: false }
  },

  plentymarkets: {
    preset: options => presets.plentymarkets({ ...options, baseUrl: 'https://shop.example.com/' }),
    title: 'plentymarkets',
    client: 'form',
    tokenEndpoint: 'https://shop.example.com/rest/login',
    refreshEndpoint: 'https://shop.example.com/rest/login/refresh',
    tokens: { tokenType: 'Bearer', expiresIn: 86400, accessToken: '{access}', refreshToken: '{refresh}' },
    refreshed: { tokenType: 'Bearer', expiresIn: 86400, accessToken: '{access}', refreshToken: '{refresh}' },
    refused: { status: 401, body: { error: 'invalid_credentials' } },
    profile: {
      url: 'https://shop.example.com/rest/user',
      answer: { id: 7, realName: 'Alice Adams', email: 'alice@example.com' }
    },
    user: { id: '7', name: 'Alice Adams', email: 'alice@example.com' },
    scope: [],
    call: { url: 'orders?page=1', sent: 'https://shop.example.com/rest/orders?page=1', headers: bearer },
    logout: { revokes: false }
  },

  auth0: {
    ...openid('https://example.eu.auth0.com/', {
      authorization_endpoint: 'https://example.eu.auth0.com/authorize',
      token_endpoint: 'https://example.eu.auth0.com/oauth/token',
      userinfo_endpoint: 'https://example.eu.auth0.com/userinfo',
      revocation_endpoint: 'https://example.eu.auth0.com/oauth/revoke',
      end_session_endpoint: 'https://example.eu.auth0.com/oidc/logout',
      jwks_uri: 'https://example.eu.auth0.com/.well-known/jwks.json'
    }),
    preset: options =>
      presets.auth0({
        ...options,
        domain: 'example.eu.auth0.com',
        audience: 'https://api.example.com/',
        scope: 'openid profile email offline_access',
        resourceServers: ['https://api.example.com/']
      }),
    title: 'Auth0',
    authorization: { audience: 'https://api.example.com/', scope: 'openid profile email offline_access' },
    call: { url: 'orders', sent: 'https://api.example.com/orders', headers: bearer }
  },

  okta: {
    ...oktaDefault,
    preset: options =>
      presets.okta({ ...options, domain: 'example.okta.com', scope: 'openid profile email offline_access' }),
    title: 'Okta',
    authorization: { scope: 'openid profile email offline_access' }
  },

  'okta, with a key': {
    ...oktaDefault,
    client: oktaAssertion('https://example.okta.com/oauth2/default/v1/token'),
    preset: ({ clientSecret: _none, ...options }) => presets.okta({
      ...options,
      domain: 'example.okta.com',
      scope: 'openid profile email offline_access',
      clientAuthentication: 'private_key_jwt',
      clientKeys: oktaKey
    }),
    title: 'Okta',
    authorization: { scope: 'openid profile email offline_access' }
  },

  "okta, the organization's server": {
    ...openid('https://example.okta.com', {
      authorization_endpoint: 'https://example.okta.com/oauth2/v1/authorize',
      token_endpoint: 'https://example.okta.com/oauth2/v1/token',
      userinfo_endpoint: 'https://example.okta.com/oauth2/v1/userinfo',
      revocation_endpoint: 'https://example.okta.com/oauth2/v1/revoke',
      end_session_endpoint: 'https://example.okta.com/oauth2/v1/logout',
      jwks_uri: 'https://example.okta.com/oauth2/v1/keys'
    }),
    preset: options => presets.okta({ ...options, domain: 'https://example.okta.com/', authorizationServer: false }),
    title: 'Okta'
  },

  keycloak: {
    ...openid('https://id.example.com/auth/realms/tea%20room', {
      authorization_endpoint: 'https://id.example.com/auth/realms/tea%20room/protocol/openid-connect/auth',
      token_endpoint: 'https://id.example.com/auth/realms/tea%20room/protocol/openid-connect/token',
      userinfo_endpoint: 'https://id.example.com/auth/realms/tea%20room/protocol/openid-connect/userinfo',
      revocation_endpoint: 'https://id.example.com/auth/realms/tea%20room/protocol/openid-connect/revoke',
      end_session_endpoint: 'https://id.example.com/auth/realms/tea%20room/protocol/openid-connect/logout',
      jwks_uri: 'https://id.example.com/auth/realms/tea%20room/protocol/openid-connect/certs'
    }),
    preset: options => presets.keycloak({ ...options, baseUrl: 'https://id.example.com/auth/', realm: 'tea room' }),
    title: 'Keycloak',
    logout: {
      revokes: false,
      location: /^https:\/\/id\.example\.com\/auth\/realms\/tea%20room\/.*\/logout\?id_token_hint=/
    }
  },

  cognito,
  'cognito, a pool with the updated issuer': { ...cognito, idToken: { ...cognito.idToken, iss: UPDATED_POOL } },
  'cognito, with the updated issuer as an option': {
    ...cognito,
    preset: options => presets.cognito({
      ...options,
      domain: 'example.auth.eu-west-1.amazoncognito.com',
      region: 'eu-west-1',
      userPoolId: 'eu-west-1_AbCdEfGhI',
      issuerType: 'UPDATED',
      logoutUri: 'https://app.example.com/'
    }),
    idToken: { ...cognito.idToken, iss: UPDATED_POOL },
    documents: { [`${UPDATED_POOL}/.well-known/jwks.json`]: '{keys}' }
  },

  ...furtherPresetCases
}
