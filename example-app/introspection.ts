// Asks the provider about a token (RFC 7662, Token Introspection): whether it is valid, its user and its scope.
import type { Client } from './provider-configuration.ts'

export interface Introspection { active: boolean, sub?: string, scope?: string }

/** Returns a function that asks about one token. Nothing is cached: a token revoked at logout is refused at once. */
export function createIntrospector (issuer: string, { clientId, clientSecret }: Client) {
  const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`
  const credentials = Buffer.from(pair).toString('base64')
  let endpoint: Promise<string> | undefined

  return async function introspect (token: string): Promise<Introspection> {
    endpoint ??= discover(issuer)
    const response = await fetch(await endpoint.catch((error) => { endpoint = undefined; throw error }), {
      method: 'POST',
      headers: { authorization: `Basic ${credentials}` },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
    })
    if (!response.ok) throw new Error(`The provider answered ${response.status} to an introspection`)
    return await response.json() as Introspection
  }
}

async function discover (issuer: string): Promise<string> {
  const response = await fetch(`${issuer}/.well-known/openid-configuration`)
  if (!response.ok) throw new Error(`The provider answered ${response.status} to discovery`)
  const metadata = (await response.json()) as { issuer?: string, introspection_endpoint?: string }
  if (metadata.issuer !== issuer || !metadata.introspection_endpoint) {
    throw new Error('The provider has no introspection')
  }
  return metadata.introspection_endpoint
}
