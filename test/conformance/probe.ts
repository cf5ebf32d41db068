import type { TokenSet } from '../../lib/index.ts'
import type { Members } from './case.ts'
import { codesOf } from './error-codes.ts'
import { Rig } from './rig.ts'

const API = 'https://rs.b/'

/** Calls an API with a set that was kept somewhere, as another process would: without a refresh of its own. */
async function call (given: Members, tokens: TokenSet | Members) {
  const { requested_scope: _scope, expected_state: _state, token: _token, ...rest } = given
  // What is asked is whether the time is over, not whether it soon will be.
  const rig = new Rig({
    given: { leeway: 0, ...rest },
    options: { resourceServers: [API], clientSecret: 'sec' },
    session: { tokens: structuredClone(tokens) as TokenSet, refresh: 'manual' }
  })
  try {
    const { body } = await rig.session().get(`${API}x`)
    await body.dump()
    return { request: rig.wire.requests.at(-1) }
  } catch (error) {
    return { error }
  }
}

/** Whether a set counts as expired at the time of the case. */
export async function isExpired (given: Members, tokens: TokenSet | Members): Promise<boolean> {
  const { error } = await call(given, tokens)
  if (error !== undefined && !codesOf(error).includes('token_expired')) throw error
  return error !== undefined
}

/** Whether a call goes out with a set as its bearer. */
export async function isUsable (given: Members, tokens: TokenSet): Promise<boolean> {
  const { request } = await call(given, tokens)
  return request?.headers.authorization === `Bearer ${tokens.accessToken}`
}
