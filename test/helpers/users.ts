/** What the provider knows about a user: the claims of OIDC Core, section 5.1, and the password. */
export interface User {
  readonly password: string
  readonly name: string
  readonly email: string
  readonly email_verified: boolean
  readonly picture: string
}

/** `sub` (and what is typed into the login form) → user. */
export type Users = Record<string, User>

export const users: Users = {
  alice: {
    password: 'alice-password',
    name: 'Alice Adams',
    email: 'alice@example.com',
    email_verified: true,
    picture: 'https://pictures.example.com/alice.png',
  },
  bob: {
    password: 'bob-password',
    name: 'Bob Brown',
    email: 'bob@example.com',
    email_verified: false,
    picture: 'https://pictures.example.com/bob.png',
  },
}
