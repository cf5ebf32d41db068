import { tracingChannel, type TracingChannel } from 'node:diagnostics_channel'
import { OAuthError, type OAuthErrorCode } from '../errors.ts'

/**
 * What each message of a tracing channel holds. There is one message an operation: it is published as `start` with what
 * is known then, and once the operation is over as `asyncEnd` with the rest. None holds a token, a code, a state, a
 * secret or an id of a user.
 */
export interface Trace<Outcome extends string = string> {
  /** Name of the provider, as given in `providers`. */
  provider?: string
  /** How it went; from `asyncEnd` on. `failed` if an error was thrown that has no outcome of its own. */
  outcome?: Outcome | 'failed'
  /** Milliseconds from `start` to `asyncEnd`, with fractions. */
  duration?: number
  /** Code of the error; `INTERNAL` if it is not the plugin's own, such as one that a hook of the app threw. */
  code?: OAuthErrorCode | 'INTERNAL'
  /** The `error` that the provider named (RFC 6749, sections 4.1.2.1 and 5.2). */
  oauthError?: string
}

/**
 * A login begins. `redirected`: the browser is sent to the provider. `not_started`: it was not, without an error, as
 * for a prefetched page. `succeeded`: logged in by user name and password.
 */
export type LoginTrace = Trace<'redirected' | 'not_started' | 'succeeded'>

/**
 * A browser is back from the provider. `succeeded`: logged in. `linked`: an account was added to the login.
 * `declined`: a login with `prompt=none` found no user. `repeated`: a callback of a login that is over; its user is
 * logged in. `restarted`: a login that was lost starts again. `relayed`: the answer leads to another request, which
 * finishes the login.
 */
export type CallbackTrace = Trace<'succeeded' | 'linked' | 'declined' | 'repeated' | 'restarted' | 'relayed'>

/** A request to the token endpoint. `refused`: the response holds an error in place of tokens. */
export interface ExchangeTrace extends Trace<'succeeded' | 'refused'> {
  /** The `grant_type` (RFC 6749, section 4). */
  grantType: string
}

/**
 * A refresh of one token set, for all callers that wait for it. `refreshed`: there is a new set. `newer`: another
 * process had one, and the provider was not asked or its answer not needed. `ended`: the login has ended. `lost`: a
 * refreshed token was lost on its way, and the login with it (FST_OAUTH_REFRESH_LOST).
 */
export type RefreshTrace = Trace<'refreshed' | 'newer' | 'ended' | 'lost'>

/**
 * A call to an API: until its headers are there if it is read as a stream, else until its body is. `answered`: with
 * any status. `aborted`: by the caller's own signal.
 */
export interface CallTrace extends Trace<'answered' | 'aborted'> {
  /** The HTTP method. */
  method: string
  /** Scheme, host and port of the API, if the call was sent. */
  origin?: string
  /** Status of the response. */
  statusCode?: number
}

/** A logout. `succeeded`: its logins have ended. `no_login`: there was none. */
export interface LogoutTrace extends Trace<'succeeded' | 'no_login'> {
  /** Who asked for it: the user, the app with `logoutUser`, or the provider with a logout token. */
  reason: 'logout' | 'logoutUser' | 'backchannel'
  /** How many logins have ended. */
  ended?: number
}

/** A call to a store that can wait or fail: one in the memory of the process has no messages. */
export interface StoreTrace extends Trace<'succeeded'> {
  /** The token store, or the store of @fastify/session. */
  store: 'tokens' | 'sessions'
  /** The method of the store. */
  method: string
}

/** The message of each channel, by the name that follows `fastify-oauth-session:`. */
export interface Traces {
  /** A login begins. */
  login: LoginTrace
  /** A browser is back from the provider. */
  callback: CallbackTrace
  /** A request to the token endpoint. */
  exchange: ExchangeTrace
  /** A refresh of one token set. */
  refresh: RefreshTrace
  /** A call to an API. */
  call: CallTrace
  /** A logout. */
  logout: LogoutTrace
  /** A call to a store. */
  store: StoreTrace
}

/** The channels, made once: without a subscriber, an operation costs a look at `hasSubscribers`. */
export const channels: { readonly [Name in keyof Traces]: TracingChannel<unknown, Traces[Name]> } = {
  login: tracingChannel('fastify-oauth-session:login'),
  callback: tracingChannel('fastify-oauth-session:callback'),
  exchange: tracingChannel('fastify-oauth-session:exchange'),
  refresh: tracingChannel('fastify-oauth-session:refresh'),
  call: tracingChannel('fastify-oauth-session:call'),
  logout: tracingChannel('fastify-oauth-session:logout'),
  store: tracingChannel('fastify-oauth-session:store')
}

/**
 * A member that a subscriber of `start` may set: it runs the operation, in a context of the subscriber's.
 * `start.bindStore` is for an AsyncLocalStorage of one's own; OpenTelemetry hides the one that holds the active span.
 */
export const kRunIn = Symbol.for('fastify-oauth-session.run-in')
export type RunIn = <T>(work: () => Promise<T>) => Promise<T>

/**
 * Runs an operation, and publishes what it does as Node's `tracePromise` would, without its result, which may hold
 * tokens, and without its error, which may be of the app.
 * @param message work may add to it; its `outcome` is `outcome` if it sets none
 * @param work rejects, and never throws
 */
export function traced<M extends Trace, T> (
  { start, end, asyncStart, asyncEnd, error: failed }: TracingChannel<unknown, M>, message: M,
  outcome: NonNullable<M['outcome']>, work: () => Promise<T>
): Promise<T> {
  const startedAt = performance.now()
  const finish = () => {
    message.duration = performance.now() - startedAt
    asyncStart.publish(message)
    asyncEnd.publish(message)
  }
  return start.runStores(message, () => {
    const { [kRunIn]: runIn } = message as { [kRunIn]?: RunIn }
    const working = runIn === undefined ? work() : runIn(work)
    end.publish(message)
    return working.then((result) => {
      message.outcome ??= outcome
      finish()
      return result
    }, (error: unknown) => {
      message.outcome ??= 'failed'
      if (message.outcome !== 'aborted') noteError(message, error)
      failed.publish(message)
      finish()
      throw error
    })
  })
}

/** Adds the code of an error to a message; nothing else of it, since errors can hold tokens and responses. */
export function noteError (message: Trace, error: unknown): void {
  if (!(error instanceof OAuthError)) {
    message.code ??= 'INTERNAL'
    return
  }
  message.code ??= error.code
  if (error.oauthError !== undefined) message.oauthError ??= error.oauthError
}

/** Adds to the message of a logout how many logins it has ended. */
export function noteEnded (trace: LogoutTrace, ended: number): number {
  trace.ended = ended
  trace.outcome = ended === 0 ? 'no_login' : 'succeeded'
  return ended
}
