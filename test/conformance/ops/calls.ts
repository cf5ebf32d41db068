import type { OAuthSession } from '../../../lib/client/oauth-session.ts'
import type { Members } from '../case.ts'
import { withAmbientCredentials } from '../ambient-credentials.ts'
import { observe, type Operation } from '../operation.ts'
import { isExpired } from '../probe.ts'
import { answerOf, Rig } from '../rig.ts'
import { SETTINGS } from '../settings.ts'
import { serve } from '../wire.ts'
import { further } from './tokens.ts'

/** `api_request`: a call of an API with a stored token. */
const apiRequest: Operation = {
  given: [...SETTINGS, 'repeat', 'ambient_credentials'],
  when: ['method', 'url', 'params', 'headers', 'data', 'json', 'withhold_token', 'client_id', 'client_secret'],
  run: async ({ given, when }) => await observe(async (observed) => {
    const call = structuredClone(when)
    const answer = answerOf({ status: 200, body: '{}', content_type: 'application/json', ...given.api_response })
    const settings = { ...given, ...credentialsOf(call) }
    const rig = new Rig({ given: settings, options: { resourceServers: [serverOf(call.url, given.allow_insecure)] }, servers: [serve(call.url, answer)] })
    const redirects = (answer.status ?? 200) >= 300 && (answer.status ?? 200) < 400
    const session = rig.session(redirects && call.withhold_token === true ? { withholdToken: true } : {})
    Object.assign(observed, {
      session,
      wire: rig.wire.requests,
      saved: rig.saved,
      publicClientId: rig.publicClientId,
      facts: { caller_headers_after: call.headers, caller_data_after: call.data }
    })
    const send = async () => {
      for (let times = given.repeat ?? 1; times > 0; times--) Object.assign(observed.facts!, { status: await (redirects ? fetchCall : sendCall)(session, call, given.placement) })
    }
    await (given.ambient_credentials === undefined ? send() : withAmbientCredentials(new URL(call.url).hostname, send))
  })
}

/** @returns the answer's status */
async function sendCall (session: OAuthSession, { method, url, params, headers, data, json, withhold_token: withholdToken }: Members, placement: unknown): Promise<number> {
  const body = bodyOf(data, placement)
  const answer = await session.request(url, {
    method,
    // The caller's own object where that is all there is, so that it can be looked at afterwards.
    headers: typeof data === 'string' ? { ...FORM, ...headers } : headers,
    ...(params !== undefined && { query: params }),
    ...(json !== undefined && { json }),
    ...(body !== undefined && { body: body as object }),
    ...(withholdToken !== undefined && { withholdToken })
  })
  await answer.body.dump()
  return answer.statusCode
}

/** The same by `fetch`, which follows redirects as the reference's calls do. @returns the answer's status */
async function fetchCall (session: OAuthSession, { method, url, params, headers, data, json }: Members, placement: unknown): Promise<number> {
  const target = new URL(url)
  for (const [name, value] of Object.entries(params ?? {})) target.searchParams.append(name, String(value))
  const type = json !== undefined ? { 'content-type': 'application/json' } : typeof data === 'string' ? FORM : {}
  const body = json === undefined ? bodyOf(data, placement) as string | undefined : JSON.stringify(json)
  const response = await session.fetch(target, { method, headers: { ...type, ...headers }, body: body ?? null })
  await response.arrayBuffer()
  return response.status
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** The reference makes a form of an object. Where the token has to go into it, an object is handed over as it is: whether that is a form is ours to tell. */
function bodyOf (data: unknown, placement: unknown): unknown {
  if (typeof data !== 'object' || data === null || placement === 'body') return data
  return new URLSearchParams(Object.entries(data).map(([name, value]): [string, string] => [name, String(value)]))
}

// Where the token may go: what is called, and not in plain text.
function serverOf (url: string, insecure: unknown): string {
  const { protocol, host } = new URL(url)
  return `${insecure === true ? protocol : 'https:'}//${host}/`
}

function credentialsOf ({ client_id: id, client_secret: secret }: Members): Members {
  return { ...(id !== undefined && { client_id: id }), ...(secret !== undefined && { client_secret: secret }) }
}

/** `refresh`: a refresh that the app asks for. */
const refresh: Operation = {
  given: [...SETTINGS],
  when: ['refresh_token', 'params', 'body', 'client_id', 'client_secret'],
  run: async ({ given, when }) => await observe(async (observed) => {
    const rig = new Rig({ given: { ...given, ...credentialsOf(when) } })
    const session = rig.session()
    Object.assign(observed, { session, wire: rig.wire.requests, saved: rig.saved, publicClientId: rig.publicClientId })
    observed.tokens = await session.refresh({ ...further({ body: when.body, params: when.params }), ...(when.refresh_token !== undefined && { refreshToken: when.refresh_token }) })
  })
}

/** `is_expired`: which of several ends count as past. */
const expired: Operation = {
  given: ['now', 'leeway', 'expires_at'],
  run: async ({ given }) => await observe(async (observed) => {
    const ends = [given.expires_at].flat()
    const found: boolean[] = []
    for (const end of ends) found.push(await isExpired({ now: given.now, leeway: given.leeway }, { access_token: 'at1', token_type: 'Bearer', expires_at: end }))
    observed.facts = { expired: Array.isArray(given.expires_at) ? found : found[0] }
  })
}

export const callOperations = { api_request: apiRequest, refresh, is_expired: expired }
