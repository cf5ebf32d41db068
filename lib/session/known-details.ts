import type { Identity } from '../login/identity.ts'
import { detailsOf } from '../tokens/account-details.ts'
import { type TokenRecord, userOf } from '../tokens/record.ts'
import type { Account } from './accounts.ts'

/** What an account holds of its login, with the user and the claims that a refresh has brought since. */
export function knownDetails (
  records: { known (id: string): TokenRecord | undefined }, account: Account
): ReturnType<typeof detailsOf> {
  const details = detailsOf(account)
  const record = records.known(account.recordId)
  return record?.claims === undefined ? details : { ...details, user: userOf(record), claims: record.claims }
}

/** An account and what it holds of its login, as one object. */
export function withDetails (account: Account): Account & ReturnType<typeof detailsOf> {
  return { ...account, ...detailsOf(account) }
}

/**
 * Whether an account is of the user who logged in: the same id, and the same issuer if several may issue ID tokens,
 * since `userProfile` may then give two users one id.
 */
export function isAccountOf (
  account: Account | undefined,
  login: Pick<Identity, 'user' | 'claims'>,
  provider: { idTokenIssuer?: unknown }
): boolean {
  if (login.user === null || account === undefined) return false
  const { user, claims } = detailsOf(account)
  if (user?.id !== login.user.id) return false
  return typeof provider.idTokenIssuer !== 'function' || claims.iss === login.claims.iss
}
