import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Identity } from '../login/identity.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import type { ScopeChange, TokenSet } from '../oauth/token-set.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { loginEnded } from '../providers/refresh-errors.ts'
import { type AccountDetails, withoutTokenClaims, writeDetails } from '../tokens/account-details.ts'
import { providerEnds, refreshTokenEnd, sessionEnd } from '../tokens/provider-ends.ts'
import type { TokenRecord } from '../tokens/record.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { randomId } from '../util/random.ts'
import { type Account, loginIdOf, type SessionLogin } from './accounts.ts'
import { awaitHook } from './await-hook.ts'
import { membersOfOthers, type SessionContext } from './context.ts'
import { endLogin, forgetAccount, revokeAccount, revokeTokens } from './end-login.ts'
import { markEnded } from './ended-sessions.ts'
import {
  currentSession, regenerateSession, saveSession, type SessionObject, sessionOf, ttlOf
} from './fastify-session.ts'
import { markFinished, markUnfinished } from './late-answers.ts'
import { timeoutsOf } from './login-end.ts'

/** What a login brought, before it is bound to a session. */
export interface Login extends Identity {
  tokens: TokenSet
  /** Epoch seconds, with fractions, at which the login began. */
  begunAt: number
  scopeChange?: ScopeChange | undefined
  /** The key that the tokens are bound to. */
  dpopKey?: DpopKey | undefined
  /** What each refresh names as `resource`. */
  resource?: string[] | undefined
  /** Parameters of the authorization response that each refresh repeats. */
  callbackParams?: Record<string, string> | undefined
  callbacks?: AccountDetails['callbacks']
}

/**
 * Binds a login to a session of its own: a new id, nothing of the visitor before, the tokens in a record beside it.
 * Whatever fails on the way undoes the login.
 * @param before the login that it replaces; the session's if absent
 * @throws FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and `onLogin` throw
 */
export async function commitLogin (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login,
  before: SessionLogin | undefined = context.sessionLogins.of(sessionOf(request))
): Promise<void> {
  const { sessionLogins, config } = context
  let session: SessionObject | undefined
  let account: Account | undefined
  let saved: SessionLogin | undefined
  try {
    await markEnded(context, request, { movesOn: true })
    // A new id, so that who knew the old one is not logged in too; new contents, so that nothing planted there stays.
    await regenerateSession(request, [...config.keepSessionFields, ...membersOfOthers(context, sessionOf(request))])
    session = sessionOf(request)
    markUnfinished(session)
    const added = createAccount(context, provider, login)
    account = added.account
    sessionLogins.put(session, { accounts: { [provider.name]: account }, active: provider.name })
    await storeAccount(context, request, reply, provider, login, added)
    if (hasAccount(context, request, provider, account)) {
      await saveSession(request)
      saved = sessionLogins.of(session)
    } else await endAccount(context, provider, account)
  } catch (error) {
    if (session !== undefined) await emptySession(context, request, session)
    await undoLogin(context, provider, login, account)
    throw error
  }
  markFinished(session, saved)
  if (before === undefined) return
  const { sessionId } = session
  await forgetReplaced(request, () => endLogin(context, before, { sessionId }))
}

/** A token record that is not stored yet. */
type NewRecord = { -readonly [Member in keyof TokenRecord]: TokenRecord[Member] }

/** The account that a login brought, and what its token record has of it. */
interface NewAccount extends Pick<TokenRecord, 'providerEnds'> {
  account: Account
}

/**
 * Makes the account that a login brought; nothing is stored yet.
 * @param loginAt epoch seconds at which the login began
 */
export function createAccount (
  context: SessionContext, { name, config: { identity: providerIdentity } }: ProviderClient, login: Login,
  loginAt = context.clock.now()
): NewAccount {
  const { tokens, identityProven, callbacks } = login
  const { scope } = tokens
  const details = writeDetails(withoutTokenClaims(login), { scope, loginAt: Math.floor(loginAt), callbacks })
  const ends = endsOf(login, context.clock.now())
  const account: Account = { recordId: randomId(), providerIdentity, details }
  if (!identityProven) account.identityProven = identityProven
  if (timeoutsOf(context, name).absoluteTimeout !== undefined) account.loginAt = Math.round(loginAt * 1000) / 1000
  if (ends !== undefined) account.endsAt = Math.min(...Object.values(ends) as number[])
  return { account, providerEnds: ends }
}

/** When the provider ends the login, as far as it says: in the ID token, and in the token response. */
function endsOf ({ tokens, claims, identity }: Pick<Login, 'tokens' | 'claims' | 'identity'>, now: number) {
  return providerEnds(identity && sessionEnd(claims), refreshTokenEnd(tokens, now))
}

/**
 * Stores the tokens of an account that is in the request's session, adds it to its user's logins, and awaits the app's
 * hooks.
 * @throws FST_OAUTH_STORE_UNAVAILABLE, FST_OAUTH_LOGIN_ENDED if `logoutUser` or the provider has ended it already,
 *   and what `onTokens` and `onLogin` throw
 */
export async function storeAccount (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  brought: Login, { account: { recordId, providerIdentity, details }, providerEnds }: NewAccount
): Promise<void> {
  const { tokens, user, claims, identity, scopeChange, dpopKey, resource, callbackParams, begunAt } = brought
  const { config, sessionLogins, onTokensHook, userLogins, providerLogouts, records, clock } = context
  const session = sessionOf(request)
  const login = sessionLogins.of(session)
  const ttl = ttlOf(session)
  const { idleTimeout } = timeoutsOf(context, provider.name)
  const record: NewRecord = {
    version: 1,
    provider: provider.name,
    providerIdentity,
    tokens,
    obtainedAt: Math.round(clock.now()),
    ttl,
    details,
    identity
  }
  if (dpopKey !== undefined) record.dpopKey = dpopKey
  if (resource !== undefined) record.resource = resource
  if (callbackParams !== undefined) record.callbackParams = callbackParams
  if (providerEnds !== undefined) record.providerEnds = providerEnds
  // Together: a store takes both in one round trip. What follows a failure comes after both.
  const written = await Promise.allSettled([
    records.create(record, recordId),
    userLogins.add({ recordId, providerIdentity, user, claims }, session, ttl, login && loginIdOf(login)),
    idleTimeout !== undefined && login !== undefined && context.activity?.write(loginIdOf(login), idleTimeout, ttl)
  ])
  for (const outcome of written) if (outcome.status === 'rejected') throw outcome.reason
  // A logout that did not find the login yet has left a mark before it looked.
  const hasEnded = await providerLogouts.hasEnded(providerIdentity, claims, begunAt)
  if (hasEnded || records.isDeleted(recordId)) throw loginEnded(provider)
  await onTokensHook.announce(recordId, tokens, {
    provider: provider.name,
    user,
    previous: undefined,
    reason: 'login',
    ...(scopeChange !== undefined && { scopeChange })
  })
  const { onLogin } = config
  if (onLogin === undefined) return
  await awaitHook(reply, () => onLogin(request, reply, { provider: provider.name, user, claims, tokens }))
}

/** Whether the session still has the account: a hook may have ended the login, or the session. */
export function hasAccount (
  { records, sessionLogins }: SessionContext, request: FastifyRequest, provider: ProviderClient, { recordId }: Account
): boolean {
  const login = sessionLogins.of(currentSession(request))
  return login?.accounts[provider.name]?.recordId === recordId && !records.isDeleted(recordId)
}

/** Deletes the tokens of an account, and revokes them after the reply. @throws FST_OAUTH_STORE_UNAVAILABLE */
export async function endAccount (context: SessionContext, { name }: ProviderClient, account: Account): Promise<void> {
  void revokeAccount(context, { name, record: await forgetAccount(context, account) })
}

/**
 * Deletes and revokes the tokens of a login that failed.
 * @param account undefined if they have not been stored
 */
export async function undoLogin (
  context: SessionContext, provider: ProviderClient, { tokens }: Login, account: Account | undefined
): Promise<void> {
  if (account !== undefined) await forgetAccount(context, account).catch(() => {})
  void revokeTokens(context, provider, tokens)
}

// The session goes from the store. The object stays the request's: the answer to the error may write into it, and then
// it is saved.
async function emptySession (
  context: SessionContext, request: FastifyRequest, session: SessionObject
): Promise<void> {
  context.sessionLogins.put(session, undefined)
  const isShared = membersOfOthers(context, session).length > 0
  const emptied = isShared ? saveSession(request, session) : context.sessionStore.destroy(session.sessionId)
  await emptied.catch(() => {})
}

/** Deletes the tokens of a replaced login. They are not revoked: providers revoke by grant, the new login's too. */
export async function forgetReplaced (request: FastifyRequest, forget: () => Promise<unknown>): Promise<void> {
  try {
    await forget()
  } catch (error) {
    const message = 'the tokens of a login that was replaced could not be deleted; they end with their time'
    logOf(request).warn({ event: 'tokens_not_deleted', err: errorForLog(error) }, message)
  }
}
