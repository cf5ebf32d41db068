import type { FastifyReply, FastifyRequest } from 'fastify'
import type { TokenSet } from '../oauth/token-set.ts'
import type { AnyRequest, LogoutEvent, LogoutReason } from '../options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { NOT_REVOKED, revokeSets } from '../providers/revocation.ts'
import { detailsOf } from '../tokens/account-details.ts'
import { isRecordOf, setsToRevoke, type TokenRecord, userOf } from '../tokens/record.ts'
import { errorForLog } from '../util/logger.ts'
import { type Account, loginIdOf, type SessionLogin } from './accounts.ts'
import { awaitHook } from './await-hook.ts'
import { membersOfOthers, type SessionContext } from './context.ts'
import { LATE_SAVE_TTL } from './ended-sessions.ts'
import { withDetails } from './known-details.ts'
import type { LoginState } from './login-records.ts'
import type { LoginQuery, UserLogin } from './user-logins.ts'

/**
 * Milliseconds that a logout waits for the provider's metadata, and for its answer to a revocation, which goes on
 * after the reply.
 */
export const PROVIDER_MS = 3_000

/** An account that was taken away, and the record that it had. */
export interface EndedAccount {
  name: string
  account: Account
  record: TokenRecord | undefined
}

/**
 * Ends a login: no account is added to it any more, and the tokens of every account that belongs to it are deleted,
 * also of those that an older blob of the session does not name. The session that the login is in now ends too, unless
 * it is the caller's own.
 * @param login as the caller knows it
 * @param options.sessionId the caller's own session
 * @param options.onlyThere ends the login only if that is the session that it is in
 * @param options.onGone called with an account whose record the store deleted though its answer was lost
 * @returns the accounts that it had; undefined if it goes on in another session
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function endLogin (
  context: SessionContext, login: SessionLogin,
  { sessionId, onlyThere = false, onGone }: {
    sessionId?: string
    onlyThere?: boolean
    onGone?: (ended: EndedAccount) => void
  } = {}
): Promise<EndedAccount[] | undefined> {
  const { loginRecords, records } = context
  const id = loginIdOf(login)
  const isDeleted = Object.values(login.accounts).every(({ recordId }) => records.isDeleted(recordId))
  if (isDeleted && loginRecords.isOver(id)) return []
  const { ended, state } = await loginRecords.end(id, onlyThere ? sessionId : undefined)
  if (!ended) return undefined
  const accounts = new Map<string, { name: string, account: Account }>()
  for (const [name, account] of [...Object.entries(login.accounts), ...accountsOf(context, state)]) {
    accounts.set(account.recordId, { name, account })
  }
  const removed: EndedAccount[] = []
  for (const { name, account } of accounts.values()) {
    const record = await forgetAccount(context, account, onGone && (record => onGone({ name, account, record })))
    removed.push({ name, account, record })
  }
  if (state !== undefined && state.sessionId !== sessionId) await endSession(context, state.sessionId)
  loginRecords.noteOver(id)
  return removed
}

/** The accounts of a login that are of a configured provider; the records of others expire. */
function accountsOf ({ providers }: SessionContext, state: LoginState | undefined): [string, Account][] {
  return Object.entries(state?.login.accounts ?? {})
    .filter(([name, { providerIdentity }]) => providers.get(name)?.config.identity === providerIdentity)
}

/**
 * Deletes the tokens of an account and its entry in the list of the user's logins.
 * @param onGone called with what was there, where the store deleted it and its answer was lost
 * @returns what was there
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function forgetAccount (
  context: SessionContext, account: Account, onGone?: (record: TokenRecord) => void
): Promise<TokenRecord | undefined> {
  const isOurs = (removed: TokenRecord | undefined) => isRecordOf(removed, { identity: account.providerIdentity })
  const removed = await context.records.remove(account.recordId, onGone && (gone => { if (isOurs(gone)) onGone(gone) }))
  await context.userLogins.remove(withDetails(account)).catch(() => {}) // the entry expires
  return isOurs(removed) ? removed : undefined
}

/** Revokes what an account had. Never rejects. */
export async function revokeAccount (
  context: SessionContext, { name, record }: Pick<EndedAccount, 'name' | 'record'>
): Promise<unknown> {
  const provider = context.providers.get(name)
  if (provider === undefined || !isRecordOf(record, provider.config)) return undefined
  return await revokeTokens(context, provider, ...setsToRevoke(record))
}

/**
 * Revokes token sets at the provider (RFC 7009), unless its `revokeAtLogout` is false. Never rejects: a logout does
 * not depend on it.
 * @param sets the newest first
 */
export function revokeTokens (
  context: SessionContext, provider: ProviderClient, ...sets: TokenSet[]
): Promise<unknown> {
  if (!provider.config.revokeAtLogout) return Promise.resolve()
  const work = revokeSets(provider, sets, (cause) => {
    context.log.warn({ event: 'tokens_not_revoked', provider: provider.name, err: errorForLog(cause) }, NOT_REVOKED)
  })
  context.background.add(work)
  return work.finally(() => { context.background.delete(work) })
}

/** Sessions that are ended at the same time, and rounds for logins that come in meanwhile. */
const AT_ONCE = 32
const ROUNDS = 5

/** Why logins are ended from outside, and what follows. */
export interface Ending {
  reason: Exclude<LogoutReason, 'logout'>
  /** For the `onLogout` hook, which is not called without it. */
  request?: AnyRequest | undefined
  /** Called with what the hook throws; if absent, that is thrown once all logins have ended. */
  onHookError?: (error: unknown) => void
}

/**
 * Ends logins at one provider, on every process: tokens deleted and revoked, sessions destroyed.
 * @param query which logins are meant: a user's, or those of a session at the provider
 * @returns how many there were
 * @throws FST_OAUTH_STORE_UNAVAILABLE if not all of them could be ended; the others are
 */
export async function endUserLogins (
  context: SessionContext, provider: ProviderClient, query: LoginQuery | readonly LoginQuery[],
  { onHookError, ...ending }: Ending = { reason: 'logoutUser' }
): Promise<number> {
  const { userLogins } = context
  const { identity } = provider.config
  const tried = new Set<string>()
  const ended = new Set<string>()
  const queries = [query].flat() as LoginQuery[]
  let failure: unknown
  let hookError: unknown
  const noteHookError = onHookError ?? ((error: unknown) => { hookError ??= error })
  // A login that has been given another session id by then, or that comes in meanwhile, is found in the next round.
  for (let round = 0; round < ROUNDS; round++) {
    const found = (await Promise.all(queries.map(query => userLogins.find(identity, query)))).flat()
    const logins = found.filter(({ recordId, sessionId }) => !tried.has(recordId + sessionId))
    if (logins.length === 0) break
    for (let start = 0; start < logins.length; start += AT_ONCE) {
      const together = logins.slice(start, start + AT_ONCE)
      const outcomes = await Promise.allSettled(
        together.map(login => endUserLogin(context, provider, login, { ...ending, onHookError: noteHookError })))
      const over = together.filter((_login, index) => outcomes[index]!.status === 'fulfilled')
      for (const { recordId, sessionId } of together) tried.add(recordId + sessionId)
      for (const { recordId } of over) ended.add(recordId)
      for (const outcome of outcomes) if (outcome.status === 'rejected') failure ??= outcome.reason
      await userLogins.removeAll(identity, over).catch((error: unknown) => { failure ??= error })
    }
  }
  if (failure !== undefined) throw failure
  if (hookError !== undefined) throw hookError
  return ended.size
}

async function endUserLogin (
  context: SessionContext, provider: ProviderClient, { recordId, login, sessionId, names }: UserLogin,
  { reason, request, onHookError }: Ending & Required<Pick<Ending, 'onHookError'>>
): Promise<void> {
  const { identity, revokesAtBackchannelLogout = false } = provider.config
  const revoke = (record: TokenRecord | undefined) => {
    if (record === undefined) return
    // The provider itself decides which tokens outlive its logout (Back-Channel Logout 1.0, section 2.7).
    if (reason === 'backchannel' && isRecordOf(record, { identity }) && !revokesAtBackchannelLogout) return
    void revokeAccount(context, { name: record.provider, record })
  }
  const { state } = await context.loginRecords.end(login)
  const revokeOurs = (removed: TokenRecord | undefined) => { if (isRecordOf(removed, { identity })) revoke(removed) }
  const removed = await context.records.remove(recordId, revokeOurs)
  revokeOurs(removed)
  // What was added to the login, or what it was added to, ends with it.
  const accounts = accountsOf(context, state)
  for (const [, account] of accounts) revoke(await forgetAccount(context, account, revoke))
  for (const place of new Set([sessionId, state?.sessionId ?? sessionId])) await endSession(context, place)
  if (request === undefined) return
  const ofOne = {
    provider: removed?.provider ?? provider.name,
    // Where a failed try has deleted the record before, the id is what is left.
    user: (removed && userOf(removed)) ?? (names.user === undefined ? null : { id: names.user, raw: {} })
  }
  const ofAll = accounts.map(([provider, account]) => ({ provider, user: detailsOf(account).user }))
  await announceLogout(context, login, request as FastifyRequest, undefined, reason, ofAll.length > 0 ? ofAll : [ofOne])
    .catch(onHookError)
}

/**
 * Calls the `onLogout` hook for each account of a login that has ended: once, whichever of several logouts at the same
 * moment comes first, on any process.
 * @param id of the login
 * @throws what the hook throws
 */
export async function announceLogout (
  { config: { onLogout }, loginRecords }: SessionContext, id: string, request: FastifyRequest,
  reply: FastifyReply | undefined, reason: LogoutReason, accounts: readonly Pick<LogoutEvent, 'provider' | 'user'>[]
): Promise<void> {
  if (onLogout === undefined || !await loginRecords.claimNotice(id)) return
  for (const account of accounts) await awaitHook(reply, () => onLogout(request, reply, { ...account, reason }))
}

/**
 * Destroys a session that is not the request's own; if it has another registration's login, it is kept, without
 * the tokens of this one.
 */
async function endSession (context: SessionContext, sessionId: string): Promise<void> {
  if (await holdsOthers(context, sessionId)) return
  await context.endedSessions.mark(sessionId, LATE_SAVE_TTL)
  await context.sessionStore.destroy(sessionId)
}

/** Whether a session, as its store has it, holds another registration's login. */
async function holdsOthers (context: SessionContext, sessionId: string): Promise<boolean> {
  if (context.registrations.length === 1) return false
  const session = await context.sessionStore.read(sessionId)
  return session !== undefined && membersOfOthers(context, session).length > 0
}
