import { codesOf } from '../error-codes.ts'
import type { Members } from '../case.ts'
import type { Observation } from '../observation.ts'
import { observe, type Operation } from '../operation.ts'
import { isExpired, isUsable } from '../probe.ts'
import { Rig } from '../rig.ts'
import { speaksOf } from '../sentences.ts'
import { isGrantName, SETTINGS, withState } from '../settings.ts'
import type { CodeChallenge } from '../wire-expectations.ts'
import { further } from './tokens.ts'

/**
 * Where a case says nothing of a secret there is one: a client without always gets PKCE, and the reference's has none
 * unless told.
 */
const CONFIDENTIAL = { clientSecret: 'sec' }
const REDIRECT_URI = 'https://app.b/cb'

/** What a login says. The reference's uses no PKCE unless told. */
function loginOf ({
  state,
  authorize_with_state: remembered = state,
  pkce,
  code_verifier: codeVerifier,
  extra
}: Members) {
  return {
    ...(remembered !== undefined && remembered !== null && { state: remembered }),
    ...(extra !== undefined && { params: extra }),
    ...(codeVerifier !== undefined && { codeVerifier }),
    pkce: pkce ?? (codeVerifier === undefined ? false : 'S256')
  }
}

const authorizationUrl: Operation = {
  given: [...SETTINGS, 'state', 'pkce', 'code_verifier', 'extra'],
  run: async ({ given }) =>
    await observe(async observed => {
      const rig = new Rig({ given, options: CONFIDENTIAL })
      observed.wire = rig.wire.requests
      const session = rig.session()
      const urls: string[] = []
      for (let call = 0; call < 2; call++) urls.push((await session.authorizationUrl(loginOf(given))).url)
      const discovery = rig.wire.requests.filter(({ url }) => url.includes('/.well-known/'))
      Object.assign(observed, {
        urls,
        session,
        facts: {
          discovery_requests: discovery.length,
          discovery_has_no_authorization_header: discovery.every(({ headers }) => headers.authorization === undefined)
        }
      })
    })
}

/** `parse_callback`: what a callback says, before anything is done with it. */
const parseCallback: Operation = {
  given: [...SETTINGS, 'callback_url', 'state'],
  run: async ({ given }) =>
    await observe(async observed => {
      const rig = new Rig({ given: withState(given) })
      const session = rig.session()
      Object.assign(observed, rig.observed, { session })
      observed.params = (await session.parseCallback(given.callback_url)).params
    })
}

/** `parse_fragment`: the tokens of an implicit login. */
const parseFragment: Operation = {
  given: [...SETTINGS, 'callback_url', 'state'],
  run: async ({ given }) =>
    await observe(async observed => {
      const rig = new Rig({ given: withState(given) })
      const session = rig.session()
      Object.assign(observed, rig.observed, { session })
      const tokens = await session.tokensFromFragment(given.callback_url)
      // A code that was adopted would be traded now.
      const refused = await session.fetchTokens().then(() => undefined, (error: unknown) => error)
      Object.assign(observed, {
        tokens,
        isExpired: () => isExpired(given, tokens),
        isUsable: () => isUsable(given, tokens),
        facts: {
          code_unset:
            codesOf(refused).some(code => code === 'missing_code' || code === 'configuration') &&
            rig.wire.requests.length === 0
        }
      })
    })
}

/** A login from its URL to its tokens, in one session or, as where the callback is another process, in two. */
const loginAndExchange = (sessions: 'one' | 'two'): Operation => ({
  given: [
    ...SETTINGS,
    'state',
    'authorize_with_state',
    'pkce',
    'code_verifier',
    'extra',
    'callback_url',
    'code',
    'body',
    'headers'
  ],
  run: async ({ given: all }) =>
    await observe(async observed => {
      const { flow, ...rest } = all
      const isGrant = flow === undefined || isGrantName(flow)
      if (!isGrant) speaksOf(flow, /\b(?:other|another|new|second|two)\b/) // as the operation's name does
      const given = isGrant ? all : rest
      const first = new Rig({ given, options: { redirectUri: REDIRECT_URI, ...CONFIDENTIAL } })
      const begun = first.session()
      const { url, state, codeVerifier } = await begun.authorizationUrl(loginOf(given))
      const second =
        sessions === 'one' ? first : new Rig({ given, options: { redirectUri: REDIRECT_URI, ...CONFIDENTIAL } })
      const session =
        sessions === 'one' ? begun : second.session({ state, ...(codeVerifier !== undefined && { codeVerifier }) })
      Object.assign(observed, second.observed, {
        urls: [url],
        codeChallenge: challengeOf(url),
        session
      } satisfies Observation)
      const callbackUrl = given.callback_url?.replace('{state}', state) ?? answerTo(url, given.code ?? 'zz')
      const tokens = await session.fetchTokens({ callbackUrl, ...further(given) })
      Object.assign(observed, {
        tokens,
        isExpired: () => isExpired(given, tokens),
        isUsable: () => isUsable(given, tokens)
      })
    })
})

function challengeOf (url: string): CodeChallenge | undefined {
  const { searchParams } = new URL(url)
  const value = searchParams.get('code_challenge')
  return value === null ? undefined : { value, method: searchParams.get('code_challenge_method') ?? 'plain' }
}

/** The URL that a provider sends the browser back to. */
function answerTo (url: string, code: string): string {
  const { searchParams } = new URL(url)
  const callback = new URL(searchParams.get('redirect_uri') ?? REDIRECT_URI)
  callback.searchParams.set('code', code)
  callback.searchParams.set('state', searchParams.get('state') ?? '')
  return callback.href
}

export const loginOperations = {
  authorization_url: authorizationUrl,
  parse_callback: parseCallback,
  parse_fragment: parseFragment,
  login_then_callback: loginAndExchange('one'),
  login_then_token_request: loginAndExchange('one'),
  exchange_on_new_instance: loginAndExchange('two')
}
