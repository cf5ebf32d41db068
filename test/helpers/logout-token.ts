import { randomUUID } from 'node:crypto'
import type { TestProvider } from './provider.ts'

/** Signs a logout token, as the provider itself would (Back-Channel Logout, section 2.4), with these claims. */
export async function signLogoutToken (provider: TestProvider, claims: Record<string, unknown>): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  return await provider.signJwt({
    iss: provider.issuer,
    aud: provider.clientId,
    iat: now,
    exp: now + 120,
    jti: randomUUID(),
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    ...claims
  }, { typ: 'logout+jwt' })
}

/** The answer of an app to a logout token. */
export interface LogoutAnswer {
  status: number
  text: string
  headers: Headers
}

/** Posts a logout token as a provider does: a server, without cookies or an origin. */
export async function postLogoutToken (
  url: string, logoutToken: string, { provider = 'acme' }: { provider?: string } = {}
): Promise<LogoutAnswer> {
  const body = new URLSearchParams({ logout_token: logoutToken })
  return await postForm(`${url}/login/${provider}/backchannel-logout`, body)
}

/** Posts a body, by default a form. */
export async function postForm (
  url: string, body: URLSearchParams | string, headers: Record<string, string> = {}
): Promise<LogoutAnswer> {
  const response = await fetch(url, {
    method: 'POST', body: String(body), headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }
  })
  return { status: response.status, text: await response.text(), headers: response.headers }
}
