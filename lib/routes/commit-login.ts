import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ProviderClient } from '../client/provider-client.ts'
import { StateMismatchError } from '../errors.ts'
import type { ScopeChange, TokenSet } from '../protocol/token-set.ts'
import { shortHash } from '../protocol/random.ts'
import { isAccountOf, ttlOf, type Account, type SessionAccounts, type SessionObject } from '../session/accounts.ts'
import type { PendingLogin } from '../session/pending-logins.ts'
import { declareDead, forgetAccount } from './ended-sessions.ts'
import { sessionCall, sessionOf } from './http.ts'
import type { Identity } from './identity.ts'
import { revokeTokens } from './logout.ts'
import type { Runtime } from './runtime.ts'

/** What a login brought, before it is anybody's. */
export interface Login extends Identity {
  tokens: TokenSet
  scopeChange?: ScopeChange | undefined
  callbacks?: Account['callbacks']
}

/**
 * Binds a login to a session of its own: a new id, nothing of the visitor before, the tokens in a record beside it.
 * What fails on the way undoes the login.
 * @throws FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and `onLogin` throw
 */
export async function commitLogin (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login): Promise<void> {
  const before = runtime.sessionLogins.of(sessionOf(request))
  await declareDead(runtime, request, { moveOn: true })
  // A new id, so that nobody who knew the old one is logged in too; new contents, so that nothing they put there stays.
  await sessionCall(request, 'renewed', done => sessionOf(request).regenerate(runtime.config.keepSessionFields, done))
  await connect(runtime, request, reply, provider, login, undefined)
  await forgetReplaced(runtime, request, before)
}

/**
 * Adds an account to the login of a session, which must be the one that asked for it: otherwise somebody could slip an
 * account of their own into another user's session.
 * @throws FST_OAUTH_STATE_MISMATCH where session or user have changed since
 */
export async function linkAccount (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login, linkTo: NonNullable<PendingLogin['linkTo']>): Promise<void> {
  const session = sessionOf(request)
  const accounts = runtime.sessionLogins.of(session)
  if (accounts === undefined || shortHash(session.sessionId) !== linkTo.session || accounts.accounts[accounts.active]?.record !== linkTo.record) {
    revokeTokens(runtime, provider, login.tokens)
    throw new StateMismatchError(`the account at provider "${provider.name}" was not added: another user, or another session, asked for it`, { provider: provider.name, reason: 'link' })
  }
  const replaced = accounts.accounts[provider.name]
  // In place of the user who is logged in, somebody else is another login: what was added to the first is not theirs.
  if (provider.name === accounts.active && !isAccountOf(replaced, login, provider.config)) {
    return await commitLogin(runtime, request, reply, provider, login)
  }
  await connect(runtime, request, reply, provider, login, accounts)
  if (replaced !== undefined) await forgetReplaced(runtime, request, { accounts: { [provider.name]: replaced }, active: provider.name })
}

/** Whom an account is to be added to. */
export function linkTarget (runtime: Runtime, session: SessionObject): PendingLogin['linkTo'] {
  const accounts = runtime.sessionLogins.of(session)
  const active = accounts?.accounts[accounts.active]
  return active === undefined ? undefined : { session: shortHash(session.sessionId), record: active.record }
}

async function connect (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login, beside: SessionAccounts | undefined): Promise<void> {
  const { tokens, user, claims } = login
  const { config, records, sessionLogins, updater, clock } = runtime
  const session = sessionOf(request)
  const ttl = ttlOf(session)
  const record = await records.create({ provider: provider.name, providerIdentity: provider.config.identity, tokens, obtainedAt: clock.now(), ttl, user, identity: login.identity })
  const account: Account = { record, providerIdentity: provider.config.identity, user: withoutClaims(user, claims), claims, scope: tokens.scope, loginAt: Math.floor(clock.now()), ...(login.login === false && { login: false }), ...(login.callbacks !== undefined && { callbacks: login.callbacks }) }
  sessionLogins.put(session, { accounts: { ...beside?.accounts, [provider.name]: account }, active: beside?.active ?? provider.name })
  try {
    await runtime.userLogins.add(account, session, ttl)
    const { scopeChange } = login
    await updater.holding(record, () => updater.announce(record, tokens, { provider: provider.name, user, previous: undefined, reason: 'login', ...(scopeChange !== undefined && { scopeChange }) }))
    await config.onLogin?.(request, reply, { provider: provider.name, user, claims, tokens })
    await sessionCall(request, 'saved', done => sessionOf(request).save(done))
  } catch (error) {
    if (beside !== undefined) sessionLogins.put(session, beside)
    else await emptySession(runtime, session)
    await forgetAccount(runtime, account).catch(() => {})
    revokeTokens(runtime, provider, tokens)
    throw error
  }
}

// What the renewal wrote goes from the store; the object stays: whoever answers the error may write into it, and then it is saved.
async function emptySession (runtime: Runtime, session: SessionObject): Promise<void> {
  runtime.sessionLogins.put(session, undefined)
  await new Promise<void>((resolve) => { runtime.sessionStore().destroy(session.sessionId, () => resolve()) })
}

// Not revoked: providers revoke by grant, and the new login may stand on the same one.
async function forgetReplaced (runtime: Runtime, request: FastifyRequest, before: SessionAccounts | undefined): Promise<void> {
  try {
    for (const account of Object.values(before?.accounts ?? {})) await forgetAccount(runtime, account)
  } catch {
    request.log.warn('the tokens of a login that was replaced could not be deleted; they expire with their time')
  }
}

function withoutClaims (user: Identity['user'], claims: Record<string, unknown>): Account['user'] {
  if (user === null || user.raw !== claims) return user
  const { raw: _claims, ...rest } = user
  return rest
}
