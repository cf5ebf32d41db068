import { jwt } from '../assertion.ts'
import type { Members } from '../case.ts'
import { observe, type Operation } from '../operation.ts'
import { isExpired, isUsable } from '../probe.ts'
import { Rig } from '../rig.ts'
import { SETTINGS } from '../settings.ts'
import { deviceTokens } from './device.ts'

const GIVEN = ['code', 'callback_url', 'body', 'headers', 'username', 'password', 'assertion', 'issuer', 'subject', 'audience', 'device_code']

/** `exchange_code`, `token_request`: one call of the token endpoint, by whatever grant. */
const tokenRequest: Operation = {
  given: [...SETTINGS, ...GIVEN],
  run: async ({ given }) => await observe(async (observed) => {
    const rig = new Rig({ given })
    const session = rig.session()
    Object.assign(observed, {
      session,
      wire: rig.wire.requests,
      saved: rig.saved,
      publicClientId: rig.publicClientId,
      facts: { authorized_before: session.authorized }
    })
    const tokens = given.flow === 'device' ? await deviceTokens(given, observed) : await session.fetchTokens({ ...grantOf(given), ...further(given) })
    Object.assign(observed, { tokens, isExpired: () => isExpired(given, tokens), isUsable: () => isUsable(given, tokens) })
  })
}

/** What is traded for tokens. `null` is what an app passes that has none. */
function grantOf (given: Members): Members {
  const { flow, username, password, callback_url: callbackUrl, code = 'zz' } = given
  if (flow === 'password') return { username: username ?? undefined, password: password ?? undefined }
  if (flow === 'client_credentials') return {}
  if (flow === 'jwt_bearer') return { assertion: given.assertion ?? jwt(given) }
  return callbackUrl === undefined ? { code: code ?? undefined } : { callbackUrl }
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
