import type { FastifyReply, FastifyRequest } from 'fastify'
import { ActiveAccountError, LoginRequiredError, StateMismatchError } from '../errors.ts'
import type { Identity } from '../login/identity.ts'
import { cookieName, type PendingLogin } from '../login/transaction.ts'
import type { ScopeChange, TokenSet } from '../oauth/token-set.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { shortHash } from '../util/random.ts'
import { waitAtMost } from '../util/timeout.ts'
import { type Account, isAccountOf, loginIdOf, type SessionLogin } from './accounts.ts'
import { awaitHook } from './await-hook.ts'
import type { SessionContext } from './context.ts'
import {
  beginSession, markEnded, destroySession, endLogin, finishSession, forgetAccount
} from './end-login.ts'
import { currentSession, sessionCall, type SessionObject, sessionOf, ttlOf } from './fastify-session.ts'
import { LoginChange, type LoginPlace } from './login-change.ts'
import { PROVIDER_MS, revokeAccount, revokeTokens } from './revoke-account.ts'
import { membersOfOthers } from './shared-session.ts'

/** What a login brought, before it is anybody's. */
export interface Login extends Identity {
  tokens: TokenSet
  scopeChange?: ScopeChange | undefined
  callbacks?: Account['callbacks']
}

/**
 * Binds a login to a session of its own: a new id, nothing of the visitor before, the tokens in a record beside it.
 * What fails on the way undoes the login.
 * @param before the login that it replaces; the session's where absent
 * @throws FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and `onLogin` throw
 */
export async function commitLogin (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login,
  before: SessionLogin | undefined = context.sessionLogins.of(sessionOf(request))
): Promise<void> {
  const { sessionLogins } = context
  await markEnded(context, request, { moveOn: true })
  // A new id, so that nobody who knew the old one is logged in too; new contents, so that nothing they put there stays.
  const kept = [...context.config.keepSessionFields, ...membersOfOthers(context, sessionOf(request))]
  await sessionCall(request, 'renewed', done => sessionOf(request).regenerate(kept, done))
  const session = sessionOf(request)
  beginSession(session)
  const account = await createAccount(context, session, provider, login)
  sessionLogins.put(session, { accounts: { [provider.name]: account }, active: provider.name })
  try {
    await announceAccount(context, request, reply, provider, login, account)
    if (!holds(context, request, provider, account)) await forgetLogin(context, provider, account)
    else await sessionCall(request, 'saved', done => sessionOf(request).save(done))
  } catch (error) {
    await emptySession(context, session)
    await undoAccount(context, provider, login, account)
    throw error
  }
  finishSession(session)
  if (before === undefined) return
  await forgetReplaced(request, () => endLogin(context, before, { sessionId: session.sessionId }))
}

/**
 * Adds an account to the login of a session, which must be the one that asked for it: otherwise somebody could slip an
 * account of their own into another user's session.
 * @param pending the login that was begun for it
 * @throws FST_OAUTH_STATE_MISMATCH where session or user have changed since, or the login has ended
 */
export async function linkAccount (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login,
  pending: PendingLink
): Promise<void> {
  const { sessionLogins } = context
  const place = await placeOfLink(context, request, pending, provider.name)
  if (place === undefined) {
    void revokeTokens(context, provider, login.tokens)
    throw notAdded(provider)
  }
  // In place of the user who is logged in, somebody else is another login: what was added to the first is not theirs.
  const { active, accounts } = place.login
  if (provider.name === active && !isAccountOf(accounts[provider.name], login, provider.config)) {
    return await commitLogin(context, request, reply, provider, login, place.login)
  }
  const renewal = await LoginChange.open(context, request, place)
  const { session } = renewal
  let account: Account | undefined
  let done: Awaited<ReturnType<LoginChange['commit']>>
  try {
    account = await createAccount(context, session, provider, login)
    const added = account
    const change = (to: SessionLogin): SessionLogin => (
      { ...to, accounts: { ...to.accounts, [provider.name]: added } })
    sessionLogins.put(session, { ...change(place.login), login: place.id })
    await announceAccount(context, request, reply, provider, login, account)
    if (!holds(context, request, provider, account)) return await forgetLogin(context, provider, account)
    done = await renewal.commit({
      change,
      // The callback of the same browser that came first had the cookie of this one's pending login with it.
      whenOvertaken: ({ siblings }) => siblings.includes(cookieName(pending.state)) ? 'follow' : 'stop'
    })
    if (done === undefined) throw notAdded(provider)
  } catch (error) {
    renewal.cancel()
    if (account === undefined) void revokeTokens(context, provider, login.tokens)
    else await undoAccount(context, provider, login, account)
    throw error
  }
  const { before, sessionId } = done
  await forgetReplaced(request, async () => {
    if (sessionId !== session.sessionId) await context.userLogins.add(account, { sessionId }, ttlOf(session), place.id)
    const replaced = before.accounts[provider.name]
    if (replaced !== undefined) await forgetAccount(context, replaced)
  })
}

type PendingLink = PendingLogin & { linkTo: NonNullable<PendingLogin['linkTo']> }

const notAdded = ({ name }: ProviderClient) => new StateMismatchError(
  `the account at provider "${name}" was not added: another user, or another session, asked for it`,
  { provider: name, reason: 'link' })

/**
 * The login that an account is to be added to: that of the request's session, where that asked for it or came of the
 * one that did by another addition. Or, where a callback of the same browser has renewed the session while this one
 * was on its way with the cookie of before, the login that went on from there.
 */
async function placeOfLink (
  context: SessionContext, request: FastifyRequest, { linkTo, state }: PendingLink, name: string
): Promise<LoginPlace | undefined> {
  const { sessionLogins, sessionCookie, loginRecords } = context
  const { session: asked, record, login: id = record } = linkTo
  const session = sessionOf(request)
  const login = sessionLogins.of(session)
  const known = await loginRecords.get(id)
  if (known === 'ended') return undefined
  if (login !== undefined && loginIdOf(login) === id) {
    const { recordId: active } = login.accounts[login.active]!
    const cameOfIt = shortHash(session.sessionId) === asked || known?.formerSessions.includes(asked) === true
    if (!cameOfIt || active !== record) return undefined
    // A login that has ended by itself gets no account more; a step-up begins it anew.
    if (name !== login.active && !await stands(context, id, known?.login ?? login)) return undefined
    return { id, sessionId: session.sessionId, login }
  }
  const isSibling = known?.formerSessions.includes(asked) === true && known.siblings.includes(cookieName(state))
  const came = [session.sessionId, ...sessionCookie.otherIds(request.cookies, session)]
  const sessionId = came.find(id => shortHash(id) === asked)
  if (!isSibling || sessionId === undefined) return undefined
  return { id, sessionId, movedTo: known.sessionId, login: known.login }
}

/** Whether the account that was logged in with has its tokens; a step-up may have given it others meanwhile. */
async function stands (
  { records, loginRecords }: SessionContext, id: string, login: SessionLogin
): Promise<boolean> {
  const { recordId } = login.accounts[login.active]!
  if (await records.read(recordId) !== undefined) return true
  const newest = await loginRecords.get(id)
  return newest !== undefined && newest !== 'ended' && newest.login.accounts[newest.login.active]?.recordId !== recordId
}

/** Whom an account is to be added to. */
export function linkTarget (context: SessionContext, session: SessionObject): PendingLogin['linkTo'] {
  const login = context.sessionLogins.of(session)
  const active = login?.accounts[login.active]
  if (login === undefined || active === undefined) return undefined
  return { session: shortHash(session.sessionId), record: active.recordId, login: loginIdOf(login) }
}

/**
 * Takes an added account away from the login of a session: its tokens are deleted and revoked, and the login goes on
 * in a session of a new id.
 * @throws FST_OAUTH_ACTIVE_ACCOUNT, FST_OAUTH_LOGIN_REQUIRED, FST_OAUTH_STORE_UNAVAILABLE
 */
export async function disconnectAccount (
  context: SessionContext, request: FastifyRequest, { name }: ProviderClient
): Promise<void> {
  const session = sessionOf(request)
  const login = context.sessionLogins.of(session)
  if (login === undefined) {
    const message = 'no user is logged in, so no account can be disconnected; log in and try again'
    throw new LoginRequiredError(message, { provider: name })
  }
  if (name === login.active) {
    throw new ActiveAccountError(
      `the account at provider "${name}" is the one that was logged in with and cannot be disconnected; log out ` +
        'instead',
      { provider: name })
  }
  const account = login.accounts[name]
  if (account === undefined) return
  const place = { id: loginIdOf(login), sessionId: session.sessionId, login }
  const renewal = await LoginChange.open(context, request, place)
  try {
    await renewal.commit({
      change: ({ accounts: { [name]: _gone, ...accounts }, ...rest }) => ({ ...rest, accounts }),
      // The request knows the id of before alone, and that may be in other hands.
      whenOvertaken: () => 'silently'
    })
  } catch (error) {
    renewal.cancel()
    throw error
  }
  const record = await forgetAccount(context, account)
  await waitAtMost(revokeAccount(context, { name, record }), PROVIDER_MS)
}

/** Stores the tokens of a login. */
async function createAccount (
  context: SessionContext, session: SessionObject, provider: ProviderClient, login: Login
): Promise<Account> {
  const { records, clock } = context
  const { tokens, user, claims, identity } = login
  const providerIdentity = provider.config.identity
  const record = await records.create({
    provider: provider.name, providerIdentity, tokens, obtainedAt: clock.now(), ttl: ttlOf(session), user, identity
  })
  return {
    recordId: record,
    providerIdentity,
    user: withoutClaims(user, claims),
    claims,
    scope: tokens.scope,
    loginAt: Math.floor(clock.now()),
    ...(login.identityProven === false && { identityProven: false }),
    ...(login.callbacks !== undefined && { callbacks: login.callbacks })
  }
}

/** Notes a login among those of its user, and awaits the app's hooks. */
async function announceAccount (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login,
  account: Account
): Promise<void> {
  const { config, sessionLogins, onTokensHook, userLogins } = context
  const { tokens, user, claims, scopeChange } = login
  const session = sessionOf(request)
  const all = sessionLogins.of(session)
  await userLogins.add(account, session, ttlOf(session), all && loginIdOf(all))
  await onTokensHook.withBarrier(account.recordId, () => onTokensHook.run(account.recordId, tokens, {
    provider: provider.name,
    user,
    previous: undefined,
    reason: 'login',
    ...(scopeChange !== undefined && { scopeChange })
  }))
  const told = { provider: provider.name, user, claims, tokens }
  await awaitHook(reply, () => config.onLogin?.(request, reply, told))
}

/** Whether the session still has the account: a hook may have ended the login, or the session. */
function holds (
  { records, sessionLogins }: SessionContext, request: FastifyRequest, provider: ProviderClient, { recordId }: Account
): boolean {
  const login = sessionLogins.of(currentSession(request))
  return login?.accounts[provider.name]?.recordId === recordId && !records.isDeleted(recordId)
}

/** Deletes and revokes what is left of a login that a hook has ended. */
async function forgetLogin (context: SessionContext, provider: ProviderClient, account: Account): Promise<void> {
  const record = await forgetAccount(context, account)
  void revokeAccount(context, { name: provider.name, record })
}

async function undoAccount (
  context: SessionContext, provider: ProviderClient, { tokens }: Login, account: Account
): Promise<void> {
  await forgetAccount(context, account).catch(() => {})
  void revokeTokens(context, provider, tokens)
}

// What the renewal wrote goes from the store; the object stays: whoever answers the error may write into it, and then
// it is saved.
async function emptySession (context: SessionContext, session: SessionObject): Promise<void> {
  context.sessionLogins.put(session, undefined)
  const others = membersOfOthers(context, session)
  if (others.length > 0) await new Promise<void>((resolve) => { session.save(() => resolve()) })
  else await destroySession(context, session.sessionId).catch(() => {})
}

// Not revoked: providers revoke by grant, and the new login may stand on the same one.
async function forgetReplaced (request: FastifyRequest, forget: () => Promise<unknown>): Promise<void> {
  try {
    await forget()
  } catch {
    request.log.warn('the tokens of a login that was replaced could not be deleted; they expire with their time')
  }
}

function withoutClaims (user: Identity['user'], claims: Record<string, unknown>): Account['user'] {
  if (user === null || user.raw !== claims) return user
  const { raw: _claims, ...rest } = user
  return rest
}
