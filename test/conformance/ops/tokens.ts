import { ASSERTION_KEYS, jwt } from '../assertion.ts'
import type { Members } from '../case.ts'
import type { Observation } from '../observation.ts'
import { observe, type Operation } from '../operation.ts'
import { isExpired, isUsable } from '../probe.ts'
import { Rig } from '../rig.ts'
import { SETTINGS, withState } from '../settings.ts'
import { deviceTokens } from './device.ts'

const GIVEN = [
  'code',
  'callback_url',
  'state',
  'code_verifier',
  'body',
  'headers',
  'username',
  'password',
  'device_code',
  'device_response',
  'poll_errors',
  ...ASSERTION_KEYS
]
const EXCHANGE = [
  'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'resource'
]

/** `exchange_code`, `token_request`: one call of the token endpoint, by whatever grant. */
const tokenRequest: Operation = {
  given: [...SETTINGS, ...GIVEN, ...EXCHANGE],
  run: async ({ given: all }) =>
    await observe(async observed => {
      const given = withState(all)
      const rig = new Rig({ given })
      const session = rig.session()
      Object.assign(observed, { ...rig.observed, session, facts: { authorized_before: session.authorized } })
      const tokens = await obtain(rig, session, given, observed)
      Object.assign(observed, {
        tokens,
        isExpired: () => isExpired(given, tokens),
        isUsable: () => isUsable(given, tokens)
      })
    })
}

async function obtain (rig: Rig, session: ReturnType<Rig['session']>, given: Members, observed: Observation) {
  if (given.flow === 'device') return await deviceTokens(given, observed)
  if (given.flow !== 'token_exchange') return await session.fetchTokens({ ...grantOf(given), ...further(given) })
  return await rig.provider.exchange({
    subjectToken: given.subject_token,
    subjectTokenType: given.subject_token_type,
    actorToken: given.actor_token,
    actorTokenType: given.actor_token_type,
    requestedTokenType: given.requested_token_type,
    audience: given.audience,
    resource: given.resource,
    ...further(given)
  })
}

/** What is traded for tokens. `null` is what an app passes that has none. */
function grantOf (given: Members): Members {
  const { flow, username, password, callback_url: callbackUrl, code = 'zz', code_verifier: codeVerifier } = given
  if (flow === 'password') return { username: username ?? undefined, password: password ?? undefined }
  if (flow === 'client_credentials') return {}
  if (flow === 'jwt_bearer') return { assertion: given.assertion === null ? '' : given.assertion ?? jwt(given) }
  const verifier = codeVerifier === undefined || codeVerifier === null ? {} : { codeVerifier }
  return {
    ...verifier,
    ...(callbackUrl === undefined || callbackUrl === null ? { code: code ?? undefined } : { callbackUrl })
  }
}

/** Further parameters, as a form, and headers of one token request. */
export function further ({ body, headers, params }: Members): Members {
  const form = new URLSearchParams(body ?? '')
  for (const [name, value] of Object.entries(params ?? {})) {
    form.delete(name)
    for (const item of [value].flat()) form.append(name, String(item))
  }
  return { ...(form.size > 0 && { params: form }), ...(headers !== undefined && { headers }) }
}

export const tokenOperations = { exchange_code: tokenRequest, token_request: tokenRequest }
