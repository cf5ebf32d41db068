import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import type { User } from '../providers/options.ts'
import { isIdentityProven } from '../session/accounts.ts'
import { currentSession, sessionOf } from '../session/fastify-session.ts'
import { knownDetails } from '../session/known-details.ts'
import { endOf, endWhereOver } from '../session/login-end.ts'
import { isRecordOf } from '../tokens/record.ts'
import { noStore } from './reply.ts'

/** The answer of the route `session`, for scripts of the app's own pages. */
export interface SessionState {
  /** Whether a user is logged in. */
  authenticated: boolean
  /** Name of the provider. */
  provider?: string
  /** Without `raw`. */
  user: Omit<User, 'raw'> | null
  /** Epoch seconds at which the login is over by its timeouts, if it has any. */
  expiresAt?: number
}

/**
 * `GET` of the route `session`: who is logged in, as the store of the tokens has it. It is no activity of the user's,
 * for an `idleTimeout`.
 */
export async function sessionRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  return noStore(reply).send(await stateOf(context, request))
}

async function stateOf (context: PluginContext, request: FastifyRequest): Promise<SessionState> {
  const { sessionLogins, records } = context
  const notLoggedIn = { authenticated: false, user: null }
  const login = sessionLogins.of(currentSession(request) === null ? null : sessionOf(request))
  if (login === undefined) return notLoggedIn
  const provider = login.active
  const account = login.accounts[provider]!
  const record = await records.read(account.recordId)
  if (!isIdentityProven(account) || !isRecordOf(record, { identity: account.providerIdentity })) return notLoggedIn
  if (await endWhereOver(context, request, login, provider) !== undefined) return notLoggedIn
  const end = endOf(context, login, provider)
  const { raw: _raw, ...user } = knownDetails(records, account).user ?? { raw: {} }
  return {
    authenticated: true,
    provider,
    user: 'id' in user ? user : null,
    ...(end !== undefined && { expiresAt: Math.ceil(end.at) })
  }
}
