import { identifierText } from '../oauth/json.ts'
import type { UserProfile } from './options.ts'

/**
 * The profile that the standard claims describe (OpenID Connect Core, section 5.1).
 * @param known the user's id, if something else than the claims says it
 */
export function standardProfile (claims: Record<string, unknown>, known?: string): Partial<UserProfile> {
  // Plain OAuth 2 does not define the id, and some providers send a number.
  const id = known ?? identifierText(claims.sub) ?? identifierText(claims.id)
  const name = textOf(claims.name) ?? textOf(claims.preferred_username) ?? textOf(claims.nickname)
  const email = textOf(claims.email)
  const picture = textOf(claims.picture)
  const { email_verified: verified } = claims
  const profile: Partial<UserProfile> = {}
  if (id !== undefined) profile.id = id
  if (name !== undefined) profile.name = name
  if (email !== undefined) profile.email = email
  // Some providers send the boolean as a string.
  if (verified !== undefined) profile.emailVerified = verified === true || verified === 'true'
  if (picture !== undefined) profile.picture = picture
  return profile
}

const textOf = (value: unknown) => typeof value === 'string' ? value : undefined
