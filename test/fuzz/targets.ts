/** What hostile input comes to: one target each. */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { createClient } from 'redis'
import type { Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import type { Misbehaviour } from '../helpers/misbehaving-provider.ts'
import { startRedis } from '../helpers/redis.ts'
import {
  changed, changedText, changes, type Change, isHolder, reply, text, type TextChange, textChanges, value
} from './hostile.ts'
import { Site, type Answer, type Scope } from './site.ts'

/** Sends one input, and says what is wrong with what came of it. */
type Attack<T> = (input: T) => Promise<string[]>

export interface Target<T = any> {
  name: string
  input: fc.Arbitrary<T>
  /** Undefined where a program that it needs is not there. */
  open (scope: Scope): Promise<{ site: Site, attack: Attack<T> } | undefined>
}

const target = <T>(name: string, input: fc.Arbitrary<T>, open: Target<T>['open']): Target<T> => ({ name, input, open })

const PARAMETERS = [
  'code', 'state', 'iss', 'error', 'error_description', 'error_uri', 'response', 'id_token', 'access_token', 'scope'
]

/** Parameters beside those of a response in good order, or in their place. */
const parameters = fc.array(
  fc.record({
    kind: fc.constantFrom('set' as const, 'append' as const, 'delete' as const),
    name: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...PARAMETERS) }, { weight: 1, arbitrary: text }),
    value: text
  }),
  { maxLength: 4 }
)

type Parameters = typeof parameters extends fc.Arbitrary<infer T> ? T : never

function withParameters (query: URLSearchParams, list: Parameters): string {
  for (const { kind, name, value } of list) query[kind](name, value)
  return query.toString()
}

const callbackQuery = target('callback queries', fc.record({ parameters, raw: textChanges }), async (scope) => {
  const site = await Site.start(scope)
  return {
    site,
    attack: async ({ parameters, raw }) => {
      const { cookie, callback, answers } = await site.begin()
      const query = changedText(withParameters(callback.searchParams, parameters), raw)
        .replaceAll(/[^\x21-\x7e]/gu, one => encodeURIComponent(Buffer.from(one).toString()))
      return await site.complaints([...answers, await site.send('GET', `${callback.pathname}?${query}`, { cookie })])
    }
  }
})

const FORM = 'application/x-www-form-urlencoded'
const CONTENT_TYPES = [
  FORM, 'application/x-www-form-urlencoded; charset=utf-16', 'application/json',
  'text/plain', 'multipart/form-data; boundary=x', 'application/jwt', ';;='
]

const callbackBody = target(
  'callback bodies',
  fc.record({ parameters, type: fc.constantFrom(...CONTENT_TYPES), raw: textChanges, asJson: fc.boolean() }),
  async (scope) => {
    const site = await Site.start(scope, { provider: { responseMode: 'form_post' } })
    return {
      site,
      attack: async ({ parameters, type, raw, asJson }) => {
        const { cookie, answers } = await site.begin()
        const state = new URL(String(answers[0]!.headers.location)).searchParams.get('state') ?? ''
        const form = withParameters(new URLSearchParams({ code: 'c'.repeat(32), state }), parameters)
        const body = changedText(asJson ? JSON.stringify(Object.fromEntries(new URLSearchParams(form))) : form, raw)
        const answer = await site.send('POST', '/login/acme/callback', { cookie, 'content-type': type }, body)
        return await site.complaints([...answers, answer])
      }
    }
  }
)

const moreCookies = fc.array(fc.tuple(text, text), { maxLength: 3 })

const cookies = target('cookies', fc.record({ raw: textChanges, more: moreCookies }), async (scope) => {
  const site = await Site.start(scope)
  return {
    site,
    attack: async ({ raw, more }) => {
      const { cookie: session } = await site.logIn()
      const { cookie: pending, callback } = await site.begin()
      const added = more.map(([name, value]) => `${name}=${value}`)
      const cookie = changedText([session, pending, ...added].join('; '), raw).replaceAll(/[^\x20-\x7e]/g, '?')
      const answers: Answer[] = []
      for (const path of ['/', '/call', '/login', callback.pathname + callback.search, '/logout/callback?state=a']) {
        answers.push(await site.send('GET', path, { cookie }))
      }
      answers.push(await site.send('POST', '/logout', { cookie, 'sec-fetch-site': 'same-origin' }))
      return await site.complaints(answers)
    }
  }
})

const PARTS = ['/', '\\', '.', '..', '%2f', '%5c', '@', ':', '//', 'evil.example', '\t', '\n', '?', '#', 'a', ' ']

const returnTo = target('returnTo', fc.oneof(
  text,
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  fc.array(fc.constantFrom(...PARTS), { maxLength: 8 }).map(parts => parts.join(''))
), async (scope) => {
  const site = await Site.start(scope)
  return {
    site,
    attack: async (path) => {
      const { answers } = await site.logIn(`/login?${new URLSearchParams({ returnTo: path })}`)
      return await site.complaints(answers)
    }
  }
})

/** Logs in while the provider is wrong, then calls and refreshes with what came of it. */
async function logInAnyway (site: Site, wrong: Misbehaviour): Promise<string[]> {
  site.provider.wrong = wrong
  const { cookie, answers } = await site.logIn()
  for (const path of ['/', '/call', '/refresh', '/']) answers.push(await site.send('GET', path, { cookie }))
  return await site.complaints(answers)
}

const members = (...names: string[]) => fc.dictionary(
  fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: text }), value, { maxKeys: 4 })

const tokenAnswers = target('token answers', fc.oneof(
  members(
    'access_token', 'token_type', 'expires_in', 'expires_at', 'refresh_token', 'id_token', 'scope', 'error',
    'error_description', 'refresh_expires_in', 'authorization_details'
  ).map((tokens): Misbehaviour => ({ tokens })),
  reply.map((token): Misbehaviour => ({ instead: { token } }))
), async (scope) => {
  const site = await Site.start(scope)
  return { site, attack: async wrong => await logInAnyway(site, wrong) }
})

const CLAIMS = [
  'iss', 'sub', 'aud', 'azp', 'exp', 'iat', 'nbf', 'nonce', 'at_hash', 'auth_time', 'acr', 'amr', 'sid', 'name',
  'email',
  'email_verified', 'picture', 'session_expiry', 'tid'
]

const joseHeader = fc.oneof(
  fc.constant({}), members('alg', 'kid', 'typ', 'crit', 'b64', 'jwk', 'jku', 'x5c', 'cty', 'enc', 'zip'))

const idTokens = target('ID tokens', fc.record({
  claims: members(...CLAIMS),
  header: joseHeader,
  raw: textChanges
}), async (scope) => {
  const site = await Site.start(scope)
  return {
    site,
    attack: async ({ claims, header, raw }) =>
      await logInAnyway(site, { claims, header, idToken: jwt => changedText(jwt, raw) })
  }
})

const userinfo = target('userinfo', fc.oneof(
  members(...CLAIMS).map((userinfo): Misbehaviour => ({ userinfo })),
  reply.map((userinfo): Misbehaviour => ({ instead: { userinfo } }))
), async (scope) => {
  const site = await Site.start(scope, { provider: { profileSource: 'userinfo' } })
  return { site, attack: async wrong => await logInAnyway(site, wrong) }
})

const discovery = target('discovery documents', fc.oneof(
  members(
    'issuer', 'authorization_endpoint', 'token_endpoint', 'userinfo_endpoint', 'jwks_uri', 'revocation_endpoint',
    'end_session_endpoint', 'pushed_authorization_request_endpoint', 'require_pushed_authorization_requests',
    'token_endpoint_auth_methods_supported', 'id_token_signing_alg_values_supported', 'mtls_endpoint_aliases',
    'authorization_response_iss_parameter_supported', 'code_challenge_methods_supported', 'response_types_supported'
  ).map((metadata): Misbehaviour => ({ metadata })),
  reply.map((discovery): Misbehaviour => ({ instead: { discovery } }))
), async (scope) => {
  const site = await Site.start(scope, { provider: { requestTimeout: 2_000 } })
  return {
    site,
    attack: async (wrong) => {
      await site.restart()
      site.provider.wrong = wrong
      const { answers } = await site.logIn()
      // Where the browser goes is the provider's to say.
      return await site.complaints(answers, { mayLeave: true })
    }
  }
})

const keySets = target('JWKS', fc.oneof(
  changes.map((list) => ({ list })),
  reply.map((keys) => ({ keys }))
), async (scope) => {
  const site = await Site.start(scope)
  const { publicKey, kid } = site.provider.keys[0]!
  const regular = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' }] }
  return {
    site,
    attack: async (input) => {
      await site.restart()
      return await logInAnyway(site, 'list' in input
        ? { keySet: changed(regular, input.list) }
        : { instead: { keys: input.keys } })
    }
  }
})

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

const logoutTokens = target('logout tokens', fc.record({
  changes: fc.oneof(fc.constant([]), changes),
  header: joseHeader,
  raw: textChanges,
  body: fc.oneof(fc.constant([]), textChanges),
  type: fc.constantFrom(FORM, FORM, FORM, ...CONTENT_TYPES)
}), async (scope) => {
  const site = await Site.start(scope)
  const { provider } = site
  return {
    site,
    attack: async ({ changes, header, raw, body, type }) => {
      provider.wrong = { header }
      const now = Math.floor(Date.now() / 1000)
      const { issuer: iss, clientId: aud } = provider
      const jti = randomUUID()
      const regular = { iss, aud, iat: now, exp: now + 120, jti, sub: 'alice', events: { [LOGOUT_EVENT]: {} } }
      const claims = changed(regular, changes)
      const jwt = changedText(provider.signJwt(isHolder(claims) ? claims : JSON.stringify(claims)), raw)
      const form = changedText(String(new URLSearchParams({ logout_token: jwt })), body)
      const answer = await site.send('POST', '/login/acme/backchannel-logout', { 'content-type': type }, form)
      return await site.complaints([answer])
    }
  }
})

/** Visits all that reads a login, and ends it. */
async function useLogin (site: Site, cookie: string): Promise<string[]> {
  const answers: Answer[] = []
  for (const path of ['/', '/call', '/refresh', '/call']) answers.push(await site.send('GET', path, { cookie }))
  answers.push(await site.send('POST', '/logout', { cookie, 'sec-fetch-site': 'same-origin' }))
  return await site.complaints(answers)
}

const which = fc.nat({ max: 20 })

const storedRecords = target('stored records', fc.record({ which, changes, raw: textChanges }), async (scope) => {
  const site = await Site.start(scope)
  const { records } = site.store
  return {
    site,
    attack: async ({ which, changes, raw }) => {
      records.clear()
      const { cookie } = await site.logIn()
      const [id, json] = [...records][which % records.size]!
      // A store that returns no JSON at all fails by itself.
      const text = changedText(JSON.stringify(changed(JSON.parse(json), changes)), raw)
      records.set(id, isJson(text) ? text : JSON.stringify(text))
      return await useLogin(site, cookie)
    }
  }
})

const redisValues = target('Redis values', fc.record({ which, changes, raw: textChanges }), async (scope) => {
  const redis = await startRedis({ ...scope, pass: () => {} } as unknown as Pick<Test, 'after' | 'pass'>)
  if (redis === undefined) return undefined
  const client = createClient({ url: redis.url })
  await client.connect()
  scope.after(() => client.destroy())
  // What is broken there may look like a refresh of another process, which is waited for as long.
  const site = await Site.start(scope, { tokenStore: redisStore(client), provider: { requestTimeout: 200 } })
  const overwrite = async (key: string, list: Change[], raw: TextChange[]) => {
    if (await client.type(key) === 'string') {
      const json = await client.get(key) ?? ''
      const from = isJson(json) ? JSON.stringify(changed(JSON.parse(json), list)) : json
      return await client.set(key, changedText(from, raw))
    }
    const fields = Object.entries(await client.hGetAll(key))
    const [field = 'a', json = ''] = fields[raw.length % Math.max(fields.length, 1)] ?? []
    const from = isJson(json) ? JSON.stringify(changed(JSON.parse(json), list)) : json
    await client.hSet(key, field, changedText(from, raw))
  }
  return {
    site,
    attack: async ({ which, changes, raw }) => {
      await client.flushAll()
      const { cookie } = await site.logIn()
      const keys = (await client.keys('*')).sort()
      await overwrite(keys[which % keys.length]!, changes, raw)
      return await useLogin(site, cookie)
    }
  }
})

function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

export const TARGETS: readonly Target[] = [
  callbackQuery, callbackBody, cookies, returnTo, tokenAnswers, idTokens, logoutTokens, userinfo, discovery, keySets,
  storedRecords, redisValues
]
