import type { IncomingHttpHeaders } from 'node:http'
import { parse, type ParsedUrlQuery } from 'node:querystring'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { createProvider, type ProviderOptions } from '../../lib/index.ts'
import { listen } from './listen.ts'

export interface ScriptRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** What `ScriptServer` answers to one request: a status, or a status and a body. */
export type ScriptAnswer = number | [number, unknown]

/** A token endpoint and an API (below `/api/`) for headless sessions: they note what they are asked. */
export class ScriptServer {
  /** Ends with a slash. */
  readonly url: string
  readonly tokenRequests: (ScriptRequest & { form: ParsedUrlQuery })[] = []
  readonly calls: ScriptRequest[] = []
  readonly providerOptions: ProviderOptions
  /** Answers token requests; by default with `access-1`, `refresh-1`, then `access-2`, … for an hour. */
  answerTokens: (form: ParsedUrlQuery) => ScriptAnswer = () => {
    const count = this.tokenRequests.length
    return [
      200,
      { access_token: `access-${count}`, refresh_token: `refresh-${count}`, token_type: 'Bearer', expires_in: 3600 }
    ]
  }

  /** Answers calls to the API. */
  answerCall: (request: ScriptRequest) => ScriptAnswer | Promise<ScriptAnswer> = () => [200, { ok: true }]

  constructor (url: string) {
    this.url = url
    this.providerOptions = {
      authorizationEndpoint: `${url}authorize`,
      tokenEndpoint: `${url}token`,
      clientId: 'script',
      clientSecret: 'secret of the script',
      resourceServers: [`${url}api/`]
    }
  }

  async answer (request: ScriptRequest): Promise<ScriptAnswer> {
    if (!request.url.startsWith('/token')) {
      this.calls.push(request)
      return await this.answerCall(request)
    }
    const form = parse(request.body)
    this.tokenRequests.push({ ...request, form })
    return this.answerTokens(form)
  }
}

export async function startScriptServer (t: Pick<Test, 'after'>): Promise<ScriptServer> {
  const { server, port, close } = await listen()
  t.after(close)
  const script = new ScriptServer(`http://127.0.0.1:${port}/`)
  server.on('request', async (request, response) => {
    const { method = '', url = '', headers } = request
    const answer = await script.answer({ method, url, headers, body: await text(request) })
    const [status, body] = typeof answer === 'number' ? [answer, {}] : answer
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  return script
}

/** A provider without Fastify, closed after the test. */
export function scriptProvider (
  t: Pick<Test, 'after'>,
  options: ProviderOptions,
  headless?: Parameters<typeof createProvider>[1]
) {
  const provider = createProvider(options, headless)
  t.after(() => provider.close())
  return provider
}

/** A token set with some seconds left, as a script may have kept it. */
export function keptTokens (secondsLeft: number) {
  return {
    accessToken: 'access-0',
    tokenType: 'Bearer',
    refreshToken: 'refresh-0',
    scope: [],
    expiresAt: Math.round(Date.now() / 1000) + secondsLeft,
    raw: {}
  }
}
