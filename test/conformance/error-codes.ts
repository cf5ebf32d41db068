import { OAuthError, type OAuthErrorCode } from '../../lib/index.ts'
import { NotUnderstood, type Members } from './case.ts'
import { difference, show } from './matches.ts'
import { tokenDifference } from './token-members.ts'

/**
 * Our codes → what the cases call them. A code that is not here keeps its name, in lower case and without the prefix.
 */
const NAMES: Partial<Record<OAuthErrorCode, string>> = {
  FST_OAUTH_INVALID_OPTIONS: 'configuration',
  FST_OAUTH_UNKNOWN_PROVIDER: 'configuration',
  FST_OAUTH_STATE_MISMATCH: 'mismatching_state',
  FST_OAUTH_TOKENS_UPDATED: 'token_updated',
  // An answer without tokens that says "later" in place of "no".
  FST_OAUTH_PROVIDER_UNAVAILABLE: 'invalid_token_response'
}

/** Reasons that are finer than our codes → the code that the cases have for them. */
const REASONS: Record<string, string> = {
  missing_code: 'missing_code',
  // Of two codes there is none that could be meant.
  duplicate_code: 'missing_code',
  missing_token: 'missing_token',
  missing_token_type: 'missing_token_type'
}

/** What the cases may call an error. The provider's own word, where there is one, is the name. */
export function codesOf (error: unknown): string[] {
  if (!(error instanceof OAuthError)) return []
  if (error.oauthError !== undefined) return [error.oauthError]
  const reason = REASONS[error.reason ?? '']
  if (reason !== undefined) return [reason]
  const name = NAMES[error.code] ?? error.code.replace('FST_OAUTH_', '').toLowerCase()
  // An ID token is refused by one code, and its reason names the claim.
  return error.code === 'FST_OAUTH_INVALID_ID_TOKEN' ? [name, `invalid_${error.reason}`] : [name]
}

const FIELDS: Record<string, (error: OAuthError, expected: any) => string | undefined> = {
  // Several names: any of them.
  code: (error, expected) =>
    codesOf(error).some(code => [expected].flat().includes(code))
      ? undefined
      : `error is ${describe(error)}, not ${expected}`,
  description: (error, expected) => difference('error.description', error.oauthErrorDescription, expected),
  uri: (error, expected) => difference('error.uri', error.oauthErrorUri, expected),
  status: (error, expected) => difference('error.status', error.responseStatus, expected),
  has_body_excerpt: (error, expected) =>
    difference('error.has_body_excerpt', typeof error.excerpt === 'string' && error.excerpt !== '', expected),
  message_contains: ({ message }, expected) =>
    message.includes(expected) ? undefined : `the message is ${show(message)}, without ${expected}`,
  message_lacks: ({ message }, unwanted) =>
    [unwanted].flat().some(text => message.includes(text))
      ? `the message is ${show(message)}, with ${show(unwanted)}`
      : undefined,
  token: ({ tokens }, expected) =>
    tokens === undefined ? 'the error carries no token' : tokenDifference('error.token', tokens, expected),
  // A class of the Python reference: a hint to people.
  ref: () => undefined
}

/** Whether an expectation of an error is one: a case may also say that there is none. */
export const isErrorExpected = (expected: unknown) => expected !== undefined && expected !== null && expected !== false

/** What is wrong with an error. A bare word is its code. */
export function checkError (error: unknown, given: Members | string | boolean | null): string[] {
  if (!isErrorExpected(given)) return error === undefined ? [] : [`failed with ${describe(error)}`]
  const expected = given === true ? {} : typeof given === 'string' ? { code: given } : (given as Members)
  for (const field of Object.keys(expected)) {
    if (FIELDS[field] === undefined) throw new NotUnderstood(`expect.error.${field}`)
  }
  if (error === undefined) return [`no error, where ${show(expected)} was expected`]
  if (!(error instanceof OAuthError)) return [`an error that is none of ours: ${describe(error)}`]
  return Object.entries(expected).flatMap(([field, value]) => FIELDS[field]!(error, value) ?? [])
}

/** An error as one line. */
export function describe (error: unknown): string {
  if (!(error instanceof OAuthError)) return error instanceof Error ? `${error.stack}` : show(error)
  return `${error.code}${error.reason === undefined ? '' : ` (${error.reason})`} "${error.message}"`
}
