import { InvalidOptionsError } from '../errors.ts'
import { isObject } from '../util/is-object.ts'
import { isNonEmptyText } from '../util/is-text.ts'

/** One thing that an access token is to allow (RFC 9396, section 2). */
export interface AuthorizationDetail {
  /** What kind of thing it is; the provider says which other members belong to it. */
  type: string
  /** Members of that type: `locations`, `actions`, `datatypes`, `identifier`, `privileges`, or the provider's own. */
  [member: string]: unknown
}

const WANTED = 'a list of objects that each have a `type`, and that JSON can hold'

/** What is wrong with a value that should be authorization details; undefined if nothing is. */
export function problemOfDetails (value: unknown): string | undefined {
  // `entries` of a list sees holes too.
  const isList = Array.isArray(value) && value.length > 0 && [...value.entries()].every(([, item]) => isDetail(item))
  if (!isList) return `must be ${WANTED}`
  try {
    JSON.stringify(value)
  } catch {
    return `must be ${WANTED}`
  }
}

function isDetail (value: unknown): boolean {
  return isObject(value) && isNonEmptyText(value.type)
}

/** The value of `authorization_details`. @throws FST_OAUTH_INVALID_OPTIONS */
export function detailsParameter (details: readonly AuthorizationDetail[], provider: string): string {
  const problem = problemOfDetails(details)
  if (problem === undefined) return JSON.stringify(details)
  throw new InvalidOptionsError(`authorizationDetails for provider "${provider}" ${problem}`, {
    provider, reason: 'invalid_option'
  })
}
