import type { FastifyRequest } from 'fastify'
import { LoginEndedError, type OAuthError, type OAuthErrorReason } from '../errors.ts'
import { loginEnded } from '../providers/refresh-errors.ts'
import { detailsOf } from '../tokens/account-details.ts'
import type { TokenLifetime } from '../tokens/token-lifetime.ts'
import { logOf } from '../util/logger.ts'
import { type Account, loginIdOf, type SessionLogin } from './accounts.ts'
import { providerOf, type SessionContext } from './context.ts'
import { endLogin, forgetAccount } from './end-login.ts'
import { currentSession } from './fastify-session.ts'

// How long a login lasts: `idleTimeout` and `absoluteTimeout` of the options, and what the provider says.

/** When an account's login ends, in epoch seconds, and by what. */
interface LoginEnd {
  at: number
  reason: Extract<
    OAuthErrorReason, 'idle_timeout' | 'absolute_timeout' | 'session_expiry' | 'refresh_token_expired'
  >
}

const WHAT_ENDED: Record<LoginEnd['reason'], string> = {
  idle_timeout: 'no request came for the time of `idleTimeout`',
  absolute_timeout: 'the time of `absoluteTimeout` has passed since the login',
  session_expiry: "the provider's session has ended, as its ID token said",
  refresh_token_expired: 'the refresh token has ended, as the provider had said'
}

/** Whether anything but the session itself limits how long a login lasts. */
export function isTimed (context: SessionContext, { accounts }: SessionLogin): boolean {
  if (context.hasTimeouts) return true
  for (const name in accounts) if (accounts[name]!.endsAt !== undefined) return true
  return false
}

/**
 * When an account's login ends, as far as the session and this process know: the first of its own ends and those of the
 * active account.
 */
export function endOf (context: SessionContext, login: SessionLogin, name: string): LoginEnd | undefined {
  const end = endOfAccount(context, login, name)
  if (name === login.active) return end
  const active = endOfAccount(context, login, login.active)
  return end === undefined || (active !== undefined && active.at < end.at) ? active : end
}

function endOfAccount (context: SessionContext, login: SessionLogin, name: string): LoginEnd | undefined {
  const { idleTimeout, absoluteTimeout } = timeoutsOf(context, name)
  const account = login.accounts[name]!
  const record = context.records.known(account.recordId)
  const ends: LoginEnd[] = []
  const add = (at: number | undefined, reason: LoginEnd['reason']) => {
    if (at !== undefined) ends.push({ at, reason })
  }
  if (absoluteTimeout !== undefined) add(loginAtOf(account) + absoluteTimeout, 'absolute_timeout')
  const seenAt = idleTimeout === undefined ? undefined : context.activity?.lastSeen(loginIdOf(login))
  if (seenAt !== undefined) add(seenAt + idleTimeout!, 'idle_timeout')
  // The record knows what came with the last refresh, the session what came with the login.
  if (record === undefined) add(account.endsAt, 'refresh_token_expired')
  add(record?.providerEnds?.session, 'session_expiry')
  add(record?.providerEnds?.refreshToken, 'refresh_token_expired')
  return ends.length === 0 ? undefined : ends.reduce((first, end) => end.at < first.at ? end : first)
}

/** The timeouts of one provider's logins. */
export function timeoutsOf (
  { config, providers }: SessionContext, name: string
): { idleTimeout: number | undefined, absoluteTimeout: number | undefined } {
  const provider = providers.get(name)?.config
  return {
    idleTimeout: provider?.idleTimeout ?? config.idleTimeout,
    absoluteTimeout: provider?.absoluteTimeout ?? config.absoluteTimeout
  }
}

/** Epoch seconds of an account's login; it is within the account if an `absoluteTimeout` was set by then. */
export function loginAtOf (account: Account): number {
  return account.loginAt ?? detailsOf(account).loginAt
}

/** Whether an account's login is over, as far as the session and this process know. */
export function isOver (context: SessionContext, login: SessionLogin, name: string): boolean {
  const end = endOf(context, login, name)
  return end !== undefined && context.clock.now() >= end.at
}

/** Whether it is over, or a request's hook could not read when the last one before it came. */
export function mayBeOver (context: SessionContext, login: SessionLogin, name: string): boolean {
  if (isOver(context, login, name)) return true
  return shortestIdle(context, login) !== undefined && context.activity?.lastSeen(loginIdOf(login)) === undefined
}

/**
 * Ends a login whose time is over: the tokens are deleted, and the account is removed from the request's session; with
 * the active account, all of them are. Before that the store is asked whether another process has seen a request, or
 * made a refresh.
 * @param name of the account that is meant
 * @returns the error to answer with; undefined if the login is not over
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function endWhereOver (
  context: SessionContext, request: FastifyRequest, login: SessionLogin, name: string
): Promise<OAuthError | undefined> {
  // The others end with the active account.
  for (const each of new Set([login.active, name])) {
    const error = await endAccountWhereOver(context, request, login, each)
    if (error !== undefined) return error
  }
  return undefined
}

async function endAccountWhereOver (
  context: SessionContext, request: FastifyRequest, login: SessionLogin, name: string
): Promise<OAuthError | undefined> {
  const isPast = (end: LoginEnd | undefined): end is LoginEnd => end !== undefined && context.clock.now() >= end.at
  const { idleTimeout } = timeoutsOf(context, name)
  const { activity } = context
  const account = login.accounts[name]!
  const provider = providerOf(context, name)
  // A request whose hook could not read the last one's time knows of none.
  const isUnknown = idleTimeout !== undefined && activity?.lastSeen(loginIdOf(login)) === undefined
  let end = endOfAccount(context, login, name)
  if (!isUnknown && !isPast(end)) return undefined
  if (isUnknown || end?.reason === 'idle_timeout') await activity?.read(loginIdOf(login))
  if (end?.reason === 'session_expiry' || end?.reason === 'refresh_token_expired') {
    // Another process may have made a refresh.
    if (await context.records.read(account.recordId) === undefined) return loginEnded(provider)
  }
  end = endOfAccount(context, login, name)
  if (!isPast(end)) return undefined
  const error = new LoginEndedError(
    `the login at provider "${name}" is over: ${WHAT_ENDED[end.reason]}; log in again`,
    { provider: name, reason: end.reason }
  )
  noteEnd(context, request, login, name, error)
  logOf(request).info({ event: 'login_timed_out', provider: name, reason: end.reason }, error.message)
  const session = currentSession(request)
  context.sessionLogins.remove(session, account.recordId)
  // An older session of a login that has gone on under another id says nothing of that one.
  if (name !== login.active) await forgetAccount(context, account)
  else await endLogin(context, login, session === null ? {} : { sessionId: session.sessionId, onlyThere: true })
  return error
}

/** The logins that requests have found to be over. */
const noted = new WeakMap<FastifyRequest, NotedEnd[]>()

interface NotedEnd {
  context: SessionContext
  name: string
  /** Whether all accounts have ended with this one. */
  isActive: boolean
  error: OAuthError
}

function noteEnd (
  context: SessionContext, request: FastifyRequest, { active }: SessionLogin, name: string, error: OAuthError
): void {
  noted.set(request, [...noted.get(request) ?? [], { context, name, isActive: name === active, error }])
}

/**
 * The error of a login that this request has found to be over.
 * @param name of the provider; any if absent
 */
export function notedEnd (
  context: SessionContext, request: FastifyRequest, name: string | undefined
): { name: string, error: OAuthError } | undefined {
  return noted.get(request)?.find(end =>
    end.context === context && (name === undefined || end.isActive || end.name === name))
}

/**
 * Notes a request as activity of the login that it came with, without asking the store.
 * @returns false if the store has to be asked or told, or something is over
 */
export function noteRequest (context: SessionContext, login: SessionLogin): boolean {
  const idleTimeout = shortestIdle(context, login)
  if (idleTimeout !== undefined && context.activity?.note(loginIdOf(login), idleTimeout) !== true) return false
  for (const name in login.accounts) if (isOver(context, login, name)) return false
  return true
}

/**
 * Ends the accounts of a request's login whose time is over, and notes the request as activity, so that all processes
 * know of it.
 * @param ttl seconds that the session has to live
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function enter (
  context: SessionContext, request: FastifyRequest, login: SessionLogin, ttl: number
): Promise<void> {
  const { activity, records, sessionLogins } = context
  const id = loginIdOf(login)
  const idleTimeout = shortestIdle(context, login)
  if (idleTimeout !== undefined && await activity?.read(id) === undefined) {
    // The login is older than the option; or it has ended, and a slow request has brought its session back.
    const { recordId } = login.accounts[login.active]!
    if (await records.read(recordId) === undefined) {
      noteEnd(context, request, login, login.active, loginEnded(providerOf(context, login.active)))
      return sessionLogins.remove(currentSession(request), recordId)
    }
  }
  for (const name in login.accounts) {
    await endWhereOver(context, request, login, name)
    if (sessionLogins.of(currentSession(request)) === undefined) return
  }
  if (idleTimeout !== undefined) await activity?.write(id, idleTimeout, ttl)
}

function shortestIdle (context: SessionContext, { accounts }: SessionLogin): number | undefined {
  let shortest: number | undefined
  for (const name in accounts) {
    const { idleTimeout } = timeoutsOf(context, name)
    if (idleTimeout !== undefined && idleTimeout < (shortest ?? Infinity)) shortest = idleTimeout
  }
  return shortest
}

/** How long the tokens of one account of a request's session may be used. */
export class AccountLifetime implements TokenLifetime {
  readonly isTimed: boolean
  readonly #context: SessionContext
  readonly #request: FastifyRequest
  readonly #login: SessionLogin
  readonly #name: string

  constructor (context: SessionContext, request: FastifyRequest, login: SessionLogin, name: string) {
    // The ends that the active account's provider has named are in its record.
    this.isTimed = name !== login.active || isTimed(context, login)
    this.#context = context
    this.#request = request
    this.#login = login
    this.#name = name
  }

  mayBeOver (): boolean { return mayBeOver(this.#context, this.#login, this.#name) }

  async check (): Promise<void> {
    if (!this.mayBeOver()) return
    const error = await endWhereOver(this.#context, this.#request, this.#login, this.#name)
    if (error !== undefined) throw error
  }
}
