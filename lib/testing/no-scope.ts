import { ENDPOINT_PATHS } from './endpoint.ts'
import type { Context } from './oidc-types.ts'

/**
 * A request without a scope is granted what the provider has set for that (RFC 6749, section 3.3), and plain providers
 * know no scopes at all. oidc-provider grants nothing then: it is asked for this one, which no answer names.
 */
export const NO_SCOPE = 'test-provider:none'

/** Whether a request is one for authorization without a scope. */
export function asksForNoScope (path: string | undefined, query: string): boolean {
  if (path !== ENDPOINT_PATHS.authorization) return false
  const params = new URLSearchParams(query)
  // Those of a request object or a pushed request are not in the query.
  return !params.has('request') && !params.has('request_uri') && (params.get('scope') ?? '') === ''
}

/** Shows oidc-provider the scope that stands for none, and keeps that out of the answer. */
export async function withoutScope (ctx: Context, next: () => Promise<void>): Promise<void> {
  if (asksForNoScope(ctx.path, ctx.querystring)) {
    const params = new URLSearchParams(ctx.querystring)
    params.set('scope', NO_SCOPE)
    ctx.querystring = params.toString()
  }
  await next()
  const answer = ctx.body as { scope?: string } | null | undefined
  if (answer?.scope === NO_SCOPE) delete answer.scope
}
