import { DEFAULT_USERS, type TestUser, type TestUsers } from '../../lib/testing/users.ts'

/** What the provider knows about a user: claims and password. */
export interface User extends TestUser {
  readonly password: string
}

/** `sub` (and what is typed into the login form) → user. */
export type Users = TestUsers

/** alice and bob, each with a password to type. */
export const users: Users = {
  alice: { password: 'alice-password', ...DEFAULT_USERS.alice },
  bob: { password: 'bob-password', ...DEFAULT_USERS.bob }
}
