import type { FastifyReply, FastifyRequest } from 'fastify'
import { ActiveAccountError, LoginRequiredError, StateMismatchError } from '../errors.ts'
import { cookieName, type PendingLogin } from '../login/transaction.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { detailsOf } from '../tokens/account-details.ts'
import { shortHash } from '../util/random.ts'
import { waitAtMost } from '../util/timeout.ts'
import { type Account, loginIdOf, type SessionLogin } from './accounts.ts'
import {
  commitLogin, createAccount, endAccount, forgetReplaced, hasAccount, type Login, storeAccount, undoLogin
} from './bind-login.ts'
import type { SessionContext } from './context.ts'
import { forgetAccount, PROVIDER_MS, revokeAccount } from './end-login.ts'
import { type SessionObject, sessionOf, ttlOf } from './fastify-session.ts'
import { isAccountOf, withDetails } from './known-details.ts'
import { LoginChange, type LoginPlace } from './login-change.ts'
import { loginAtOf } from './login-end.ts'

/** A pending login that will add an account to the login of a session. */
type PendingLink = PendingLogin & { linkTo: NonNullable<PendingLogin['linkTo']> }

/** Which login of a session an account is to be added to; undefined if there is none. */
export function linkTarget (context: SessionContext, session: SessionObject): PendingLogin['linkTo'] {
  const login = context.sessionLogins.of(session)
  if (login === undefined) return undefined
  const { recordId } = login.accounts[login.active]!
  return { session: shortHash(session.sessionId), record: recordId, login: loginIdOf(login) }
}

/**
 * Adds an account to the login of a session, which must be the one that asked for it: otherwise an attacker could add
 * an account of their own to another user's session. Whatever fails on the way revokes the account's tokens.
 * @param pending the login that was begun for it
 * @throws FST_OAUTH_STATE_MISMATCH if session or user have changed since, or the login has ended;
 *   FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and `onLogin` throw
 */
export async function linkAccount (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login,
  pending: PendingLink
): Promise<void> {
  let place: LoginPlace
  try {
    place = await placeOfLink(context, request, provider, pending)
  } catch (error) {
    await undoLogin(context, provider, login, undefined)
    throw error
  }
  const { active, accounts } = place.login
  // Another user in place of the one who is logged in is another login: accounts that were added are not theirs.
  const isOther = provider.name === active && !isAccountOf(accounts[active], login, provider.config)
  if (isOther) await commitLogin(context, request, reply, provider, login, place.login)
  else await addAccount(context, request, reply, provider, login, place, pending)
}

async function addAccount (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login,
  place: LoginPlace, { state }: PendingLink
): Promise<void> {
  const { name } = provider
  let loginChange: LoginChange | undefined
  let account: Account | undefined
  let done: Awaited<ReturnType<LoginChange['commit']>>
  try {
    loginChange = await LoginChange.open(context, request, place)
    const { session } = loginChange
    const added = createAccount(
      context, provider, login, beginningOf(context, place.login.accounts[name], provider, login))
    account = added.account
    const change = (to: SessionLogin): SessionLogin =>
      ({ ...to, accounts: { ...to.accounts, [name]: added.account } })
    context.sessionLogins.put(session, { ...change(place.login), login: place.id })
    await storeAccount(context, request, reply, provider, login, added)
    if (!hasAccount(context, request, provider, account)) return await endAccount(context, provider, account)
    done = await loginChange.commit({
      change,
      // The callback of the same browser that came first had the cookie of this one's pending login with it.
      whenOvertaken: ({ siblings }) => siblings.includes(cookieName(state)) ? 'follow' : 'stop'
    })
    if (done === undefined) throw notAdded(provider)
  } catch (error) {
    loginChange?.cancel()
    await undoLogin(context, provider, login, account)
    throw error
  }
  const { before, sessionId } = done
  const { session } = loginChange
  await forgetReplaced(request, async () => {
    const { userLogins } = context
    if (sessionId !== session.sessionId) {
      await userLogins.update(withDetails(account), { sessionId }, ttlOf(session), place.id)
    }
    const replaced = before.accounts[name]
    if (replaced !== undefined) await forgetAccount(context, replaced)
  })
}

/**
 * When the login of an account began, for a step-up: if the user has not authenticated again at the provider,
 * `absoluteTimeout` still counts from the old login. Undefined for a login that begins now.
 */
function beginningOf (
  context: SessionContext, before: Account | undefined, { config }: ProviderClient, login: Login
): number | undefined {
  if (before === undefined || !isAccountOf(before, login, config)) return undefined
  if (context.records.isDeleted(before.recordId)) return undefined
  const { claims: { auth_time: earlier } } = detailsOf(before)
  const { auth_time: authTime } = login.claims
  const loginAt = loginAtOf(before)
  const last = typeof earlier === 'number' ? earlier : loginAt + config.clockTolerance
  return typeof authTime === 'number' && authTime > last ? undefined : loginAt
}

const notAdded = ({ name }: ProviderClient) => new StateMismatchError(
  `the account at provider "${name}" was not added: another user, or another session, asked for it`,
  { provider: name, reason: 'link' })

/**
 * The login that an account is to be added to. It is that of the request's session, if this is the session that asked
 * for the account, or the one that replaced it when another account was added. Or, if another callback of the same
 * browser has moved the login to a new session while this request was under way with the old cookie, it is that login.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_STORE_UNAVAILABLE
 */
async function placeOfLink (
  context: SessionContext, request: FastifyRequest, provider: ProviderClient, { linkTo, state, stepUp }: PendingLink
): Promise<LoginPlace> {
  const { sessionLogins, sessionCookie, loginRecords } = context
  const { session: asked, record, login: id = record } = linkTo
  const session = sessionOf(request)
  const login = sessionLogins.of(session)
  const known = await loginRecords.get(id)
  if (known === 'ended') throw notAdded(provider)
  if (login !== undefined && loginIdOf(login) === id) {
    const { recordId: active } = login.accounts[login.active]!
    const cameOfIt = shortHash(session.sessionId) === asked || known?.formerSessions.includes(asked) === true
    // In one login the user stays the same: another tab's step-up has given the account other tokens meanwhile.
    const isSame = active === record || (stepUp !== undefined && provider.name === login.active)
    if (!cameOfIt || !isSame) throw notAdded(provider)
    // No account is added to a login that has ended by itself; a step-up begins it anew.
    if (provider.name !== login.active && !await hasTokens(context, id, known?.login ?? login)) throw notAdded(provider)
    return { id, sessionId: session.sessionId, login }
  }
  const isSibling = known?.formerSessions.includes(asked) === true && known.siblings.includes(cookieName(state))
  const came = [session.sessionId, ...sessionCookie.otherIds(request.cookies, session)]
  const sessionId = came.find(id => shortHash(id) === asked)
  if (!isSibling || sessionId === undefined) throw notAdded(provider)
  return { id, sessionId, movedTo: known.sessionId, login: known.login }
}

/** Whether the account that the user logged in with has its tokens; a step-up may have given it others meanwhile. */
async function hasTokens (
  { records, loginRecords }: SessionContext, id: string, { accounts, active }: SessionLogin
): Promise<boolean> {
  const { recordId } = accounts[active]!
  if (await records.read(recordId) !== undefined) return true
  const newest = await loginRecords.get(id)
  return newest !== undefined && newest !== 'ended' && newest.login.accounts[newest.login.active]?.recordId !== recordId
}

/**
 * Removes an added account from the login of a session: its tokens are deleted and revoked, and the session gets a new
 * id.
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
  const loginChange = await LoginChange.open(context, request, place)
  try {
    await loginChange.commit({
      change: ({ accounts: { [name]: _removed, ...accounts }, ...rest }) => ({ ...rest, accounts }),
      // The request came with the old session id only, which others may know as well.
      whenOvertaken: () => 'silently'
    })
  } catch (error) {
    loginChange.cancel()
    throw error
  }
  const record = await forgetAccount(context, account)
  await waitAtMost(revokeAccount(context, { name, record }), PROVIDER_MS)
}
