import * as presets from '../../lib/providers.ts'
import type { PresetCase } from './preset-cases.ts'

const PICTURE = 'https://img.example/alice.png'
const bearer = { authorization: 'Bearer {token}' }
const invalidGrant = { status: 400, body: { error: 'invalid_grant' } }

const line: PresetCase = {
  preset: presets.line,
  title: 'LINE',
  authorizationEndpoint: 'https://access.line.me/oauth2/v2.1/authorize',
  authorization: { scope: 'openid profile email' },
  client: 'form',
  tokenEndpoint: 'https://api.line.me/oauth2/v2.1/token',
  tokens: {
    access_token: '{access}',
    expires_in: 2592000,
    id_token: '{id}',
    refresh_token: '{refresh}',
    scope: 'profile openid',
    token_type: 'Bearer'
  },
  refreshed: {
    access_token: '{access}',
    token_type: 'Bearer',
    refresh_token: '{refresh}',
    expires_in: 2592000,
    scope: 'profile openid'
  },
  refused: { status: 400, body: { error: 'invalid_grant', error_description: 'invalid refresh token' } },
  idToken: { iss: 'https://access.line.me', sub: 'U1234567890abcdef1234567890abcdef' },
  profile: [
    {
      url: 'https://api.line.me/oauth2/v2.1/userinfo',
      answer: { sub: 'U1234567890abcdef1234567890abcdef', name: 'Alice Adams', picture: PICTURE }
    },
    {
      url: 'https://api.line.me/oauth2/v2.1/verify',
      method: 'POST',
      form: { id_token: '{id}', client_id: 'Client-Id_1.x' },
      answer: {
        iss: 'https://access.line.me',
        sub: 'U1234567890abcdef1234567890abcdef',
        aud: 'Client-Id_1.x',
        exp: 1504169092,
        iat: 1504263657,
        amr: ['pwd'],
        name: 'Alice Adams',
        picture: PICTURE,
        email: 'alice@example.com'
      }
    }
  ],
  user: {
    id: 'U1234567890abcdef1234567890abcdef', name: 'Alice Adams', email: 'alice@example.com', picture: PICTURE
  },
  scope: ['profile', 'openid'],
  call: { url: 'friendship/v1/status', sent: 'https://api.line.me/friendship/v1/status', headers: bearer },
  logout: { revokes: false }
}

const bitbucket: PresetCase = {
  preset: presets.bitbucket,
  title: 'Bitbucket',
  authorizationEndpoint: 'https://bitbucket.org/site/oauth2/authorize',
  authorization: { scope: 'account' },
  client: 'basic',
  tokenEndpoint: 'https://bitbucket.org/site/oauth2/access_token',
  tokens: {
    access_token: '{access}',
    scopes: 'account email',
    token_type: 'bearer',
    expires_in: 7200,
    state: 'authorization_code',
    refresh_token: '{refresh}'
  },
  refreshed: {
    access_token: '{access}',
    scopes: 'account email',
    token_type: 'bearer',
    expires_in: 7200,
    state: 'refresh_token',
    refresh_token: '{refresh}'
  },
  refused: { status: 400, body: { error: 'invalid_grant', error_description: 'Invalid refresh_token' } },
  profile: [
    {
      url: 'https://api.bitbucket.org/2.0/user',
      answer: {
        type: 'user',
        uuid: '{e0a0e4ca-7f38-4e54-9c45-e68904b663da}',
        account_id: '557058:e0a0e4ca',
        nickname: 'alice',
        display_name: 'Alice Adams',
        links: { avatar: { href: PICTURE } }
      }
    },
    {
      url: 'https://api.bitbucket.org/2.0/user/emails',
      answer: {
        values: [
          { type: 'email', email: 'al@example.net', is_primary: false, is_confirmed: false },
          { type: 'email', email: 'alice@example.com', is_primary: true, is_confirmed: true }
        ]
      }
    }
  ],
  user: {
    id: '{e0a0e4ca-7f38-4e54-9c45-e68904b663da}',
    name: 'Alice Adams',
    email: 'alice@example.com',
    emailVerified: true,
    picture: PICTURE
  },
  scope: ['account', 'email'],
  call: { url: 'repositories/tea', sent: 'https://api.bitbucket.org/2.0/repositories/tea', headers: bearer },
  logout: { revokes: false }
}

const vk = (domain: string): Omit<PresetCase, 'preset'> => ({
  title: 'VK',
  authorizationEndpoint: `https://id.vk.${domain}/authorize`,
  authorization: { scope: 'vkid.personal_info email' },
  posted: { device_id: 'the-device', type: 'code_v2' },
  client: 'form',
  tokenEndpoint: `https://id.vk.${domain}/oauth2/auth`,
  form: { device_id: 'the-device', state: '{state}' },
  tokens: {
    refresh_token: '{refresh}',
    access_token: '{access}',
    id_token: '{id}',
    token_type: 'Bearer',
    expires_in: 3600,
    user_id: 1234567890,
    state: 'xxx',
    scope: 'vkid.personal_info email'
  },
  refreshed: {
    refresh_token: '{refresh}',
    access_token: '{access}',
    token_type: 'Bearer',
    expires_in: 3600,
    user_id: 1234567890,
    state: 'xxx',
    scope: 'vkid.personal_info email'
  },
  refused: invalidGrant,
  idToken: { iss: 'VK', sub: 1234567890 },
  profile: {
    url: `https://id.vk.${domain}/oauth2/user_info`,
    method: 'POST',
    token: 'form',
    form: { access_token: '{token}', client_id: 'Client-Id_1.x' },
    answer: {
      user: {
        user_id: '1234567890',
        first_name: 'Alice',
        last_name: 'Adams',
        phone: '79991234567',
        avatar: PICTURE,
        email: 'alice@example.com',
        sex: 1,
        verified: false,
        birthday: '01.01.2000'
      }
    }
  },
  user: { id: '1234567890', name: 'Alice Adams', email: 'alice@example.com', picture: PICTURE },
  scope: ['vkid.personal_info', 'email'],
  call: {
    url: 'users.get?v=5.199', sent: `https://api.vk.${domain}/method/users.get?v=5.199`, headers: bearer
  },
  logout: { revokes: false }
})

/** Answers tell no lifetime: a token is used until the API answers 401. */
const salesforce = (server: string): Omit<PresetCase, 'preset'> => ({
  title: 'Salesforce',
  authorizationEndpoint: `${server}/services/oauth2/authorize`,
  authorization: { scope: 'openid profile email refresh_token' },
  client: 'form',
  tokenEndpoint: `${server}/services/oauth2/token`,
  tokens: {
    access_token: '{access}',
    refresh_token: '{refresh}',
    signature: 'CMJ4l+CCaPQiKjoOEwEig9H4wqhpuLSk4J2urAe+fVg=',
    scope: 'openid profile email refresh_token',
    id_token: '{id}',
    instance_url: 'https://example.my.salesforce.com',
    id: 'https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P',
    token_type: 'Bearer',
    issued_at: '1558553873237'
  },
  refreshed: {
    access_token: '{access}',
    signature: 'd/SxeYBxH0GSVko0HMgcUxuZy0PA2cDDz1u7g7JtDHw=',
    scope: 'openid profile email refresh_token',
    instance_url: 'https://example.my.salesforce.com',
    id: 'https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P',
    token_type: 'Bearer',
    issued_at: '1558553873237'
  },
  refused: { status: 400, body: { error: 'invalid_grant', error_description: 'expired access/refresh token' } },
  idToken: { iss: 'https://example.my.salesforce.com', sub: 'https://login.salesforce.com/id/00D/005' },
  profile: {
    url: `${server}/services/oauth2/userinfo`,
    answer: {
      sub: 'https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P',
      user_id: '005x00000012Q9P',
      organization_id: '00Dx0000000BV7z',
      preferred_username: 'alice@example.com',
      nickname: 'alice',
      name: 'Alice Adams',
      email: 'alice@example.com',
      email_verified: true,
      picture: PICTURE
    }
  },
  revocationEndpoint: `${server}/services/oauth2/revoke`,
  user: {
    id: 'https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P',
    name: 'Alice Adams',
    email: 'alice@example.com',
    emailVerified: true,
    picture: PICTURE
  },
  scope: ['openid', 'profile', 'email', 'refresh_token'],
  logout: { revokes: true }
})

const paypal = (zone: string): Omit<PresetCase, 'preset'> => ({
  title: 'PayPal',
  authorizationEndpoint: `https://www.${zone}paypal.com/signin/authorize`,
  authorization: { flowEntry: 'static', scope: 'openid profile email' },
  client: 'basic',
  tokenEndpoint: `https://api-m.${zone}paypal.com/v1/oauth2/token`,
  tokens: {
    scope: 'openid profile email',
    access_token: '{access}',
    token_type: 'Bearer',
    expires_in: 28800,
    refresh_token: '{refresh}',
    nonce: '2026-07-24T12:00:00Z'
  },
  refreshed: {
    scope: 'openid profile email', access_token: '{access}', token_type: 'Bearer', expires_in: 28800
  },
  refused: invalidGrant,
  profile: {
    url: `https://api-m.${zone}paypal.com/v1/identity/oauth2/userinfo?schema=paypalv1.1`,
    answer: {
      user_id: 'https://www.paypal.com/webapps/auth/identity/user/mWq6_1sU85v5EG9yHdPxJRrhGHrnMJ',
      name: 'Alice Adams',
      payer_id: 'WDJJHEBZ4X2LY',
      verified_account: 'true',
      emails: [
        { value: 'al@example.net', primary: false, confirmed: false },
        { value: 'alice@example.com', primary: true, confirmed: true }
      ]
    }
  },
  user: {
    id: 'https://www.paypal.com/webapps/auth/identity/user/mWq6_1sU85v5EG9yHdPxJRrhGHrnMJ',
    name: 'Alice Adams',
    email: 'alice@example.com',
    emailVerified: true
  },
  scope: ['openid', 'profile', 'email'],
  call: {
    url: 'v1/reporting/balances', sent: `https://api-m.${zone}paypal.com/v1/reporting/balances`, headers: bearer
  },
  logout: { revokes: false }
})

const USER_AGENT = 'web:com.example.tea:v1.2.3 (by /u/alice)'

const notionUser = {
  object: 'user',
  id: '5389a034-eb5c-47b5-8a9e-f79c99ef166c',
  name: 'Alice Adams',
  avatar_url: PICTURE,
  type: 'person',
  person: { email: 'alice@example.com' }
}
const notionTokens = {
  access_token: '{access}',
  token_type: 'bearer',
  refresh_token: '{refresh}',
  bot_id: '16d84278-ab0e-484c-9bdd-b35da3bd8905',
  workspace_id: '3c90c3cc-0d44-4b50-8888-8dd25736052a',
  workspace_name: 'Tea',
  workspace_icon: null,
  owner: { type: 'user', user: notionUser },
  duplicated_template_id: null,
  request_id: 'f4f1a1a6'
}

/** The presets of providers that are not OpenID providers, or not quite. */
export const furtherPresetCases: Record<string, PresetCase> = {
  line,
  'line, whose ID token has ended when the profile is asked for': {
    ...line,
    profile: [
      {
        url: 'https://api.line.me/oauth2/v2.1/userinfo',
        answer: { sub: 'U1234567890abcdef1234567890abcdef', name: 'Alice Adams', picture: PICTURE }
      },
      {
        url: 'https://api.line.me/oauth2/v2.1/verify',
        method: 'POST',
        status: 400,
        answer: { error: 'invalid_request', error_description: 'IdToken expired.' }
      }
    ],
    user: { id: 'U1234567890abcdef1234567890abcdef', name: 'Alice Adams', picture: PICTURE }
  },
  "line, with another user's ID token": {
    ...line,
    profile: [
      { url: 'https://api.line.me/oauth2/v2.1/userinfo', answer: { sub: 'U1', name: 'Alice Adams' } },
      {
        url: 'https://api.line.me/oauth2/v2.1/verify',
        method: 'POST',
        answer: { sub: 'U2', email: 'mallory@example.com' }
      }
    ],
    user: { id: 'U1', name: 'Alice Adams' }
  },

  atlassian: {
    preset: presets.atlassian,
    title: 'Atlassian',
    authorizationEndpoint: 'https://auth.atlassian.com/authorize',
    authorization: { audience: 'api.atlassian.com', prompt: 'consent', scope: 'read:me offline_access' },
    client: 'form',
    tokenEndpoint: 'https://auth.atlassian.com/oauth/token',
    tokens: {
      access_token: '{access}',
      refresh_token: '{refresh}',
      expires_in: 3600,
      scope: 'read:me offline_access',
      token_type: 'Bearer'
    },
    refreshed: {
      access_token: '{access}',
      refresh_token: '{refresh}',
      expires_in: 3600,
      scope: 'read:me offline_access',
      token_type: 'Bearer'
    },
    refused: {
      status: 403,
      body: { error: 'invalid_grant', error_description: 'Unknown or invalid refresh token.' }
    },
    profile: {
      url: 'https://api.atlassian.com/me',
      answer: {
        account_type: 'atlassian',
        account_id: '112233aa-bb11-cc22-33dd-445566abcabc',
        email: 'alice@example.com',
        email_verified: true,
        name: 'Alice Adams',
        picture: PICTURE,
        account_status: 'active',
        nickname: 'alice',
        zoneinfo: 'Australia/Sydney'
      }
    },
    user: {
      id: '112233aa-bb11-cc22-33dd-445566abcabc',
      name: 'Alice Adams',
      email: 'alice@example.com',
      emailVerified: true,
      picture: PICTURE
    },
    scope: ['read:me', 'offline_access'],
    call: {
      url: 'oauth/token/accessible-resources',
      sent: 'https://api.atlassian.com/oauth/token/accessible-resources',
      headers: bearer
    },
    logout: { revokes: false }
  },

  bitbucket,
  'bitbucket, without the addresses': {
    ...bitbucket,
    profile: [
      {
        url: 'https://api.bitbucket.org/2.0/user',
        answer: { uuid: '{e0a0e4ca}', display_name: 'Alice Adams', links: {} }
      },
      { url: 'https://api.bitbucket.org/2.0/user/emails', status: 403, answer: { type: 'error' } }
    ],
    user: { id: '{e0a0e4ca}', name: 'Alice Adams' }
  },

  dropbox: {
    preset: presets.dropbox,
    title: 'Dropbox',
    authorizationEndpoint: 'https://www.dropbox.com/oauth2/authorize',
    authorization: { token_access_type: 'offline', scope: 'account_info.read' },
    client: 'form',
    tokenEndpoint: 'https://api.dropboxapi.com/oauth2/token',
    tokens: {
      access_token: '{access}',
      expires_in: 14400,
      token_type: 'bearer',
      scope: 'account_info.read',
      refresh_token: '{refresh}',
      account_id: 'dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc',
      uid: '12345'
    },
    refreshed: { access_token: '{access}', expires_in: 14400, token_type: 'bearer' },
    refused: {
      status: 400, body: { error: 'invalid_grant', error_description: 'refresh token is invalid or revoked' }
    },
    profile: {
      url: 'https://api.dropboxapi.com/2/users/get_current_account',
      method: 'POST',
      answer: {
        account_id: 'dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc',
        name: { given_name: 'Alice', surname: 'Adams', familiar_name: 'Alice', display_name: 'Alice Adams' },
        email: 'alice@example.com',
        email_verified: true,
        disabled: false,
        locale: 'en',
        profile_photo_url: PICTURE
      }
    },
    user: {
      id: 'dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc',
      name: 'Alice Adams',
      email: 'alice@example.com',
      emailVerified: true,
      picture: PICTURE
    },
    scope: ['account_info.read'],
    call: { url: 'check/user', sent: 'https://api.dropboxapi.com/2/check/user', headers: bearer },
    logout: { revokes: false }
  },

  vk: { ...vk('ru'), preset: presets.vk },
  'vk, by its older name': { ...vk('com'), preset: options => presets.vk({ ...options, domain: 'id.vk.com' }) },

  kakao: {
    preset: presets.kakao,
    title: 'Kakao',
    authorizationEndpoint: 'https://kauth.kakao.com/oauth/authorize',
    authorization: { scope: null },
    client: 'form',
    tokenEndpoint: 'https://kauth.kakao.com/oauth/token',
    tokens: {
      token_type: 'bearer',
      access_token: '{access}',
      expires_in: 21599,
      refresh_token: '{refresh}',
      refresh_token_expires_in: 5183999,
      scope: 'account_email profile_image profile_nickname'
    },
    refreshed: { token_type: 'bearer', access_token: '{access}', expires_in: 21599 },
    refused: {
      status: 400,
      body: {
        error: 'invalid_grant', error_description: 'expired_or_invalid_refresh_token', error_code: 'KOE322'
      }
    },
    profile: {
      url: 'https://kapi.kakao.com/v2/user/me',
      answer: {
        id: 123456789012,
        connected_at: '2026-04-11T01:45:28Z',
        kakao_account: {
          profile: { nickname: 'Alice', thumbnail_image_url: 'https://img.example/small.png', profile_image_url: PICTURE },
          is_email_valid: true,
          is_email_verified: true,
          email: 'alice@example.com'
        }
      }
    },
    user: {
      id: '123456789012', name: 'Alice', email: 'alice@example.com', emailVerified: true, picture: PICTURE
    },
    scope: ['account_email', 'profile_image', 'profile_nickname'],
    call: {
      url: 'v1/user/access_token_info', sent: 'https://kapi.kakao.com/v1/user/access_token_info', headers: bearer
    },
    logout: { revokes: false }
  },

  naver: {
    preset: presets.naver,
    title: 'Naver',
    authorizationEndpoint: 'https://nid.naver.com/oauth2.0/authorize',
    authorization: { scope: null },
    client: 'form',
    pkce: 'refused',
    tokenEndpoint: 'https://nid.naver.com/oauth2.0/token',
    form: { state: '{state}' },
    tokens: { access_token: '{access}', refresh_token: '{refresh}', token_type: 'bearer', expires_in: '3600' },
    refreshed: { access_token: '{access}', token_type: 'bearer', expires_in: '3600' },
    refused: { status: 200, body: { error: 'invalid_grant', error_description: 'invalid refresh_token' } },
    profile: {
      url: 'https://openapi.naver.com/v1/nid/me',
      answer: {
        resultcode: '00',
        message: 'success',
        response: {
          id: 'dummywdhzWcds8IuVojuH6GoGy6WadDk',
          nickname: 'alice',
          name: 'Alice Adams',
          email: 'alice@example.com',
          profile_image: PICTURE
        }
      }
    },
    user: {
      id: 'dummywdhzWcds8IuVojuH6GoGy6WadDk',
      name: 'Alice Adams',
      email: 'alice@example.com',
      picture: PICTURE
    },
    scope: [],
    call: { url: 'nid/verify', sent: 'https://openapi.naver.com/v1/nid/verify', headers: bearer },
    logout: { revokes: false }
  },

  yandex: {
    preset: presets.yandex,
    title: 'Yandex',
    authorizationEndpoint: 'https://oauth.yandex.com/authorize',
    authorization: { scope: 'login:info login:email login:avatar' },
    client: 'basic',
    tokenEndpoint: 'https://oauth.yandex.com/token',
    tokens: { token_type: 'bearer', access_token: '{access}', expires_in: 31536000, refresh_token: '{refresh}' },
    refreshed: { token_type: 'bearer', access_token: '{access}', expires_in: 31536000, refresh_token: '{refresh}' },
    refused: { status: 400, body: { error: 'invalid_grant', error_description: 'expired_token' } },
    profile: {
      url: 'https://login.yandex.ru/info?format=json',
      answer: {
        id: '1000034426',
        login: 'alice',
        display_name: 'Al',
        real_name: 'Alice Adams',
        first_name: 'Alice',
        last_name: 'Adams',
        default_email: 'alice@example.com',
        emails: ['alice@example.com'],
        default_avatar_id: '131652443',
        is_avatar_empty: false,
        psuid: '1.AAceCw.tbHgw5DtJ9_zeqPrk-Ba2w'
      }
    },
    user: {
      id: '1000034426',
      name: 'Alice Adams',
      email: 'alice@example.com',
      picture: 'https://avatars.yandex.net/get-yapic/131652443/islands-200'
    },
    scope: ['login:info', 'login:email', 'login:avatar'],
    call: { url: 'info?format=xml', sent: 'https://login.yandex.ru/info?format=xml', headers: bearer },
    logout: { revokes: false }
  },

  salesforce: {
    ...salesforce('https://example.my.salesforce.com'),
    preset: options => presets.salesforce({
      ...options,
      domain: 'example.my.salesforce.com',
      scope: ['openid', 'profile', 'email', 'api', 'refresh_token']
    }),
    authorization: { scope: 'openid profile email api refresh_token' },
    call: {
      url: 'data/v64.0/sobjects',
      sent: 'https://example.my.salesforce.com/services/data/v64.0/sobjects',
      headers: bearer
    }
  },
  'salesforce, for all organizations': {
    ...salesforce('https://login.salesforce.com'),
    preset: options => presets.salesforce({ ...options, scope: 'openid profile email refresh_token' })
  },
  'salesforce, a sandbox': {
    ...salesforce('https://test.salesforce.com'),
    preset: options => presets.salesforce({
      ...options,
      sandbox: true,
      scope: 'openid profile email refresh_token',
      resourceServers: ['https://example--uat.sandbox.my.salesforce.com/services/']
    }),
    call: {
      url: 'data',
      sent: 'https://example--uat.sandbox.my.salesforce.com/services/data',
      headers: bearer
    }
  },

  zoom: {
    preset: presets.zoom,
    title: 'Zoom',
    authorizationEndpoint: 'https://zoom.us/oauth/authorize',
    authorization: { scope: null },
    client: 'basic',
    tokenEndpoint: 'https://zoom.us/oauth/token',
    tokens: {
      access_token: '{access}',
      token_type: 'bearer',
      refresh_token: '{refresh}',
      expires_in: 3599,
      scope: 'user:read:user meeting:read:list_meetings',
      api_url: 'https://api.zoom.us'
    },
    refreshed: {
      access_token: '{access}',
      token_type: 'bearer',
      refresh_token: '{refresh}',
      expires_in: 3599,
      scope: 'user:read:user meeting:read:list_meetings',
      api_url: 'https://api.zoom.us'
    },
    refused: { status: 401, body: { reason: 'Invalid Token!', error: 'invalid_request' } },
    profile: {
      url: 'https://api.zoom.us/v2/users/me',
      answer: {
        id: 'KDcuGIm1QgePTO8WbOqwIQ',
        first_name: 'Alice',
        last_name: 'Adams',
        display_name: 'Alice Adams',
        email: 'alice@example.com',
        type: 1,
        verified: 1,
        pic_url: PICTURE,
        account_id: 'q6gBJVO5TzexKYTb_I2rpg'
      }
    },
    revocationEndpoint: 'https://zoom.us/oauth/revoke',
    user: {
      id: 'KDcuGIm1QgePTO8WbOqwIQ',
      name: 'Alice Adams',
      email: 'alice@example.com',
      emailVerified: true,
      picture: PICTURE
    },
    scope: ['user:read:user', 'meeting:read:list_meetings'],
    call: { url: 'users/me/meetings', sent: 'https://api.zoom.us/v2/users/me/meetings', headers: bearer },
    logout: { revokes: true }
  },

  paypal: { ...paypal(''), preset: presets.paypal },
  'paypal, its sandbox': {
    ...paypal('sandbox.'),
    preset: options => presets.paypal({ ...options, sandbox: true })
  },

  reddit: {
    preset: options => presets.reddit({ ...options, userAgent: USER_AGENT }),
    title: 'Reddit',
    authorizationEndpoint: 'https://www.reddit.com/api/v1/authorize',
    authorization: { scope: 'identity', duration: 'permanent' },
    client: 'basic',
    tokenEndpoint: 'https://www.reddit.com/api/v1/access_token',
    tokens: {
      access_token: '{access}', token_type: 'bearer', expires_in: 86400, scope: 'identity', refresh_token: '{refresh}'
    },
    refreshed: { access_token: '{access}', token_type: 'bearer', expires_in: 86400, scope: 'identity' },
    refused: { status: 400, body: { message: 'Bad Request', error: 400 } },
    profile: {
      url: 'https://oauth.reddit.com/api/v1/me?raw_json=1',
      headers: { 'user-agent': USER_AGENT },
      answer: { id: '1ia22', name: 'alice', icon_img: PICTURE, has_verified_email: true, is_gold: false }
    },
    revocationEndpoint: 'https://www.reddit.com/api/v1/revoke_token',
    user: { id: '1ia22', name: 'alice', picture: PICTURE },
    scope: ['identity'],
    call: {
      url: 'api/v1/me/prefs',
      sent: 'https://oauth.reddit.com/api/v1/me/prefs',
      headers: { ...bearer, 'user-agent': USER_AGENT }
    },
    logout: { revokes: true }
  },

  strava: {
    preset: options => presets.strava({ ...options, scope: ['read', 'activity:read'] }),
    title: 'Strava',
    authorizationEndpoint: 'https://www.strava.com/oauth/authorize',
    authorization: { scope: 'read,activity:read' },
    client: 'form',
    tokenEndpoint: 'https://www.strava.com/api/v3/oauth/token',
    tokens: {
      token_type: 'Bearer',
      expires_at: 1568775134,
      expires_in: 21600,
      refresh_token: '{refresh}',
      access_token: '{access}',
      athlete: { id: 227615, username: 'alice' }
    },
    refreshed: {
      token_type: 'Bearer',
      access_token: '{access}',
      expires_at: 1568775134,
      expires_in: 20566,
      refresh_token: '{refresh}'
    },
    refused: {
      status: 400,
      body: {
        message: 'Bad Request',
        errors: [{ resource: 'RefreshToken', field: 'refresh_token', code: 'invalid' }]
      }
    },
    profile: {
      url: 'https://www.strava.com/api/v3/athlete',
      answer: {
        id: 1234567890,
        username: 'alice',
        firstname: 'Alice',
        lastname: 'Adams',
        profile_medium: PICTURE,
        profile: PICTURE
      }
    },
    user: { id: '1234567890', name: 'Alice Adams', picture: PICTURE },
    scope: ['read', 'activity:read'],
    call: {
      url: 'athlete/activities', sent: 'https://www.strava.com/api/v3/athlete/activities', headers: bearer
    },
    logout: { revokes: false }
  },

  notion: {
    preset: presets.notion,
    title: 'Notion',
    authorizationEndpoint: 'https://api.notion.com/v1/oauth/authorize',
    authorization: { owner: 'user', scope: null },
    client: 'basic',
    pkce: 'refused',
    tokenEndpoint: 'https://api.notion.com/v1/oauth/token',
    tokens: notionTokens,
    refreshed: notionTokens,
    refused: { status: 400, body: { error: 'invalid_grant', request_id: '6b9bc5a6' } },
    profile: {
      url: 'https://api.notion.com/v1/users/me',
      headers: { 'notion-version': '2025-09-03' },
      answer: {
        object: 'user',
        id: '16d84278-ab0e-484c-9bdd-b35da3bd8905',
        name: 'Tea',
        avatar_url: null,
        type: 'bot',
        bot: { owner: { type: 'user', user: notionUser } }
      }
    },
    user: {
      id: '5389a034-eb5c-47b5-8a9e-f79c99ef166c',
      name: 'Alice Adams',
      email: 'alice@example.com',
      picture: PICTURE
    },
    scope: [],
    call: {
      url: 'users',
      sent: 'https://api.notion.com/v1/users',
      headers: { ...bearer, 'notion-version': '2025-09-03' }
    },
    logout: { revokes: false }
  },

  tiktok: {
    preset: presets.tiktok,
    title: 'TikTok',
    authorizationEndpoint: 'https://www.tiktok.com/v2/auth/authorize/',
    authorization: { client_key: 'Client-Id_1.x', scope: 'user.info.basic' },
    client: form => form.get('client_secret') === 'S3cret/+=&_-.~' ? undefined : 'the client secret is missing',
    pkce: 'refused',
    tokenEndpoint: 'https://open.tiktokapis.com/v2/oauth/token/',
    form: { client_key: 'Client-Id_1.x', client_id: null },
    tokens: {
      access_token: '{access}',
      expires_in: 7200,
      open_id: 'afd97af1-b87b-48b9-ac98-410aghda5344',
      refresh_expires_in: 15552000,
      refresh_token: '{refresh}',
      scope: 'user.info.basic,video.list',
      token_type: 'Bearer'
    },
    refreshed: {
      access_token: '{access}',
      expires_in: 7200,
      open_id: 'afd97af1-b87b-48b9-ac98-410aghda5344',
      refresh_expires_in: 15552000,
      refresh_token: '{refresh}',
      scope: 'user.info.basic,video.list',
      token_type: 'Bearer'
    },
    refused: {
      status: 200,
      body: { error: 'invalid_grant', error_description: 'Refresh token is invalid or expired.', log_id: '2022' }
    },
    profile: {
      url: 'https://open.tiktokapis.com/v2/user/info/?fields=open_id,union_id,avatar_url,display_name',
      answer: {
        data: {
          user: {
            open_id: 'afd97af1-b87b-48b9-ac98-410aghda5344',
            union_id: 'c9c60f49-a20d-487f-9ec3-e6ffc7f4a2f3',
            avatar_url: PICTURE,
            display_name: 'Alice Adams'
          }
        },
        error: { code: 'ok', message: '', log_id: '2022' }
      }
    },
    user: { id: 'afd97af1-b87b-48b9-ac98-410aghda5344', name: 'Alice Adams', picture: PICTURE },
    scope: ['user.info.basic', 'video.list'],
    call: {
      url: 'video/list/?fields=id', sent: 'https://open.tiktokapis.com/v2/video/list/?fields=id', headers: bearer
    },
    logout: { revokes: false }
  }
}
