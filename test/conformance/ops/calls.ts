import type { OAuthSession } from '../../../lib/standalone/session.ts'
import type { ProviderHooks } from '../../../lib/index.ts'
import type { Members } from '../case.ts'
import { withAmbientCredentials } from '../ambient-credentials.ts'
import { observe, type Operation } from '../operation.ts'
import { isExpired } from '../probe.ts'
import { answerOf, Rig } from '../rig.ts'
import { isGrantName, SETTINGS } from '../settings.ts'
import { parallelCalls } from './site-refreshes.ts'
import { serve } from '../wire.ts'
import { further } from './tokens.ts'

/** `api_request`: a call of an API with a stored token. */
const apiRequest: Operation = {
  given: [...SETTINGS, 'repeat', 'parallel', 'ambient_credentials'],
  when: [
    'method', 'url', 'count', 'params', 'headers', 'data', 'json', 'withhold_token', 'client_id',
    'client_secret', 'auth'
  ],
  run: async ({ given, when }) =>
    await observe(async observed => {
      const { count = given.parallel ?? 1, ...call } = structuredClone(when)
      const answers = [given.api_response]
        .flat()
        .map(answer => answerOf({ status: 200, body: '{}', content_type: 'application/json', ...answer }))
      const settings = { ...given, ...credentialsOf(call) }
      const rig = new Rig({
        given: settings,
        options: { resourceServers: [serverOf(call.url, given.allow_insecure)] },
        servers: [serve(call.url, answers)]
      })
      const redirects = answers.some(({ status = 200 }) => status >= 300 && status < 400)
      const session = rig.session(redirects && call.withhold_token === true ? { withholdToken: true } : {})
      Object.assign(observed, rig.observed, {
        session,
        facts: {
          caller_headers_after: call.headers,
          caller_data_after: call.data,
          get token_requests () {
            return rig.wire.requests.filter(({ url }) => !url.startsWith(new URL(call.url).origin)).length
          }
        }
      })
      const once = async () => {
        Object.assign(observed.facts!, {
          status: await (redirects ? fetchCall : sendCall)(session, call, given.placement)
        })
      }
      const send = async () => {
        for (let times = given.repeat ?? 1; times > 0; times--) await Promise.all(Array.from({ length: count }, once))
        Object.assign(observed.facts!, { all_succeed: true })
      }
      await (given.ambient_credentials === undefined
        ? send()
        : withAmbientCredentials(new URL(call.url).hostname, send))
    })
}

/** @returns the answer's status */
async function sendCall (
  session: OAuthSession,
  { method, url, params, headers, data, json, withhold_token: withholdToken }: Members,
  placement: unknown
): Promise<number> {
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
async function fetchCall (
  session: OAuthSession,
  { method, url, params, headers, data, json }: Members,
  placement: unknown
): Promise<number> {
  const target = new URL(url)
  for (const [name, value] of Object.entries(params ?? {})) target.searchParams.append(name, String(value))
  const type = json !== undefined ? { 'content-type': 'application/json' } : typeof data === 'string' ? FORM : {}
  const body = json === undefined ? (bodyOf(data, placement) as string | undefined) : JSON.stringify(json)
  const response = await session.fetch(target, { method, headers: { ...type, ...headers }, body: body ?? null })
  await response.arrayBuffer()
  return response.status
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/**
 * The reference makes a form of an object. Where the token has to go into it, an object is handed over as it is:
 * whether that is a form is ours to tell.
 */
function bodyOf (data: unknown, placement: unknown): unknown {
  if (typeof data !== 'object' || data === null || placement === 'body') return data
  return new URLSearchParams(Object.entries(data).map(([name, value]): [string, string] => [name, String(value)]))
}

// Where the token may go: what is called, and not in plain text.
function serverOf (url: string, insecure: unknown): string {
  const { protocol, host } = new URL(url)
  return `${insecure === true ? protocol : 'https:'}//${host}/`
}

const CREDENTIALS = ['client_id', 'client_secret', 'auth']

function credentialsOf (when: Members): Members {
  return Object.fromEntries(CREDENTIALS.flatMap(name => (when[name] === undefined ? [] : [[name, when[name]]])))
}

/** `refresh`: a refresh that the app asks for. */
const refresh: Operation = {
  given: [...SETTINGS],
  when: ['refresh_token', 'params', 'body', 'headers', ...CREDENTIALS],
  run: async ({ given, when }) =>
    await observe(async observed => {
      const hooks: ProviderHooks =
        when.headers === undefined
          ? {}
          : {
              refreshTokenRequest: ({ headers }) => { Object.assign(headers, lowerCased(when.headers)) }
            }
      const rig = new Rig({ given: { ...given, ...credentialsOf(when) }, options: { hooks } })
      const session = rig.session()
      Object.assign(observed, rig.observed, { session })
      observed.tokens = await session.refresh({
        ...further({ body: when.body, params: when.params }),
        ...(when.refresh_token !== undefined && { refreshToken: when.refresh_token })
      })
    })
}

const lowerCased = (headers: Members) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

/** `is_expired`: whether a token is past its end, or which of several ends or lives are. */
const expired: Operation = {
  given: ['now', 'leeway', 'expires_at', 'expires_in', 'token'],
  run: async ({ given: { now, leeway, token, ...time } }) =>
    await observe(async observed => {
      const ends = Object.entries(time).flatMap(([name, values]) => [values].flat().map(value => ({ [name]: value })))
      const found: boolean[] = []
      for (const end of ends.length > 0 ? ends : [{}]) {
        found.push(await isExpired({ now, leeway }, { access_token: 'at1', token_type: 'Bearer', ...token, ...end }))
      }
      observed.facts = { expired: Object.values(time).some(Array.isArray) ? found : found[0] }
    })
}

/** `parallel_requests`: several calls at once, of one client; as a sentence, in a Fastify app. */
const parallelRequests: Operation = {
  given: [...apiRequest.given, 'flow'],
  when: apiRequest.when!,
  run: async ({ given, when }) =>
    typeof given.flow === 'string' && !isGrantName(given.flow)
      ? await parallelCalls.run({ given, when })
      : await apiRequest.run({
        given,
        when: { method: 'GET', url: 'https://rs.b/x', count: given.parallel ?? 10, ...when }
      })
}

export const callOperations = {
  api_request: apiRequest,
  parallel_requests: parallelRequests,
  parallel_api_requests: parallelRequests,
  parallel_requests_one_client: parallelRequests,
  refresh,
  is_expired: expired
}
