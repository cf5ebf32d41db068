import { parse, type ParsedUrlQuery } from 'node:querystring'
import { text } from 'node:stream/consumers'
import { listen } from './listen.ts'

/**
 * A token endpoint for the resource owner password grant, and a userinfo endpoint. A stub: oidc-provider leaves that
 * grant out on purpose.
 */
export async function startPasswordServer (
  t: { after: (fn: () => unknown) => unknown },
  users: Record<string, string> = { alice: 'correct horse', bob: 'also correct' }
) {
  const requests: { body: ParsedUrlQuery, authorization: string | undefined }[] = []
  const state: { down: boolean, repeating: boolean, refusal?: { status: number, body: string } | undefined } = {
    down: false,
    repeating: false
  }
  const { port, close } = await listen(async (request, response) => {
    const send = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.url === '/me') {
      const name = /^Bearer token-of-(\w+)$/.exec(request.headers.authorization ?? '')?.[1]
      return name === undefined ? send(401, {}) : send(200, { sub: name })
    }
    const body = parse(await text(request))
    requests.push({ body, authorization: request.headers.authorization })
    const { username, password } = body
    if (state.refusal !== undefined) return response.writeHead(state.refusal.status).end(state.refusal.body)
    if (state.down) return send(503, {})
    if (state.repeating) {
      return send(400, {
        error: 'invalid_request',
        error_description: `${String(username)} with ${String(password)} cannot log in`
      })
    }
    if (body.grant_type !== 'password') return send(400, { error: 'unsupported_grant_type' })
    if (typeof username !== 'string' || users[username] !== password) {
      return send(400, { error: 'invalid_grant', error_description: 'wrong' })
    }
    send(200, { access_token: `token-of-${username}`, token_type: 'Bearer', expires_in: 3600 })
  })
  t.after(close)
  const url = `http://127.0.0.1:${port}`
  return Object.assign(state, {
    requests,
    providerOptions: {
      tokenEndpoint: `${url}/token`,
      userinfoEndpoint: `${url}/me`,
      clientId: 'legacy',
      clientSecret: 'secret of the client'
    }
  })
}
