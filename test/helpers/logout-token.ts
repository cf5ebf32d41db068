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
