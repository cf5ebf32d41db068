/** A user of the test provider: claims (OpenID Connect Core, section 5.1, and any of your own) and a password. */
export interface TestUser {
  /** The password that the login page asks for. Default none: any password logs the user in, and so does a button. */
  password?: string
  /** The full name; scope `profile`, like the other claims of a profile. */
  name?: string
  /** The address; scope `email`. */
  email?: string
  /** Whether the address is known to be the user's; scope `email`. */
  email_verified?: boolean
  /** URL of a portrait; scope `profile`. */
  picture?: string
  /** Any further claim; one that OpenID Connect does not define comes with every scope. */
  [claim: string]: unknown
}

/** `sub`, which is also the name in the login form → user. */
export type TestUsers = Record<string, TestUser>

/** The users if the options name none. */
export const DEFAULT_USERS: TestUsers = {
  alice: {
    name: 'Alice Adams',
    email: 'alice@example.com',
    email_verified: true,
    picture: 'https://pictures.example.com/alice.png'
  },
  bob: {
    name: 'Bob Brown',
    email: 'bob@example.com',
    email_verified: false,
    picture: 'https://pictures.example.com/bob.png'
  }
}

/** The claims that each scope asks for (OpenID Connect Core, section 5.4), as oidc-provider's option has them. */
export const CLAIMS_OF_SCOPES = {
  openid: ['sub'],
  profile: [
    'name', 'family_name', 'given_name', 'middle_name', 'nickname', 'preferred_username', 'profile', 'picture',
    'website', 'gender', 'birthdate', 'zoneinfo', 'locale', 'updated_at'
  ],
  email: ['email', 'email_verified'],
  phone: ['phone_number', 'phone_number_verified'],
  address: ['address']
}

const DEFINED = new Set(Object.values(CLAIMS_OF_SCOPES).flat())
/** Of the login or of the token, never of the user. */
const OF_TOKENS = new Set(['acr', 'amr', 'auth_time', 'iss', 'sid', 'aud', 'exp', 'iat', 'nonce'])

/** Those of a user's claims that no scope asks for. */
export function ownClaims (claims: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !DEFINED.has(name) && !OF_TOKENS.has(name)))
}
