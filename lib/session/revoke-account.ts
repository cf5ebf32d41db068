import type { TokenSet } from '../oauth/token-set.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { NOT_REVOKED, revokeSets } from '../providers/revocation.ts'
import { isRecordOf, liveSets } from '../tokens/record.ts'
import type { SessionContext } from './context.ts'
import type { EndedAccount } from './end-login.ts'

/**
 * Milliseconds that a logout waits for the provider to revoke, which goes on behind the answer; and for its metadata.
 */
export const PROVIDER_MS = 3_000

/** Revokes what an account had. Never rejects. */
export async function revokeAccount (
  context: SessionContext,
  { name, record }: Pick<EndedAccount, 'name' | 'record'>
): Promise<unknown> {
  const provider = context.providers.get(name)
  return provider === undefined || !isRecordOf(record, provider.config)
    ? undefined
    : await revokeTokens(context, provider, ...liveSets(record))
}

/**
 * Tells the provider that tokens are no longer wanted (RFC 7009). Never rejects: a logout does not depend on it.
 * @param sets the newest first
 */
export function revokeTokens (
  context: SessionContext, provider: ProviderClient, ...sets: TokenSet[]
): Promise<unknown> {
  if (!provider.config.revokeAtLogout) return Promise.resolve()
  const work = revokeSets(provider, sets, (cause) => {
    context.log.warn({ provider: provider.name, code: (cause as { code?: string }).code }, NOT_REVOKED)
  })
  context.background.add(work)
  return work.finally(() => { context.background.delete(work) })
}
