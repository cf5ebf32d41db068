// The users of the embedded provider. Passwords in source code are for an example only.

export interface Account {
  username: string
  password: string
  claims: Record<'sub' | 'name' | 'preferred_username' | 'email', string> & { email_verified: boolean }
}

export const accounts: readonly Account[] = [
  account('alice', 'croissant', 'Alice Crumb'),
  account('bob', 'baguette', 'Bob Flourish'),
]

/** The account with this name and password, or undefined. */
export function checkPassword (username: string, password: string): Account | undefined {
  return accounts.find((account) => account.username === username && account.password === password)
}

/** The account with this `sub`, in the shape that oidc-provider asks for. */
export function findAccount (_ctx: unknown, sub: string) {
  const found = accounts.find((account) => account.claims.sub === sub)
  return found && { accountId: sub, claims: () => found.claims }
}

function account (username: string, password: string, name: string): Account {
  const email = `${username}@bakery.example`
  return {
    username,
    password,
    claims: { sub: username, name, preferred_username: username, email, email_verified: true }
  }
}
