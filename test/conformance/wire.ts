import { Dispatcher, MockAgent } from 'undici'

/** A request as it went out. */
export interface WireRequest {
  readonly method: string
  readonly url: string
  /** Names in lower case. */
  readonly headers: Record<string, string>
  readonly body: string
}

export interface WireAnswer {
  status?: number | undefined
  headers?: Record<string, string> | undefined
  body?: string | undefined
}

/** What a server answers, or undefined where the request is not its own. */
export type Server = (request: WireRequest) => WireAnswer | undefined

/** The network of one case: records every outgoing request and answers it. Nothing leaves the process. */
export class Wire extends Dispatcher {
  readonly requests: WireRequest[] = []
  readonly #servers: Server[]
  readonly #agent = new MockAgent()

  /** @param servers asked in order; what none of them knows is a 200 with an empty object */
  constructor (...servers: Server[]) {
    super()
    this.#servers = servers
    this.#agent.disableNetConnect()
  }

  override dispatch (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const request: WireRequest = {
      method: options.method,
      url: `${String(options.origin)}${options.path}`,
      headers: headersOf(options.headers as Record<string, string | string[] | undefined>),
      body: bodyOf(options.body)
    }
    this.requests.push(request)
    const { status = 200, headers = {}, body = '{}' } = this.#answer(request)
    // The agent knows both of undici's ways to talk to a handler.
    this.#agent
      .get(String(options.origin))
      .intercept({ path: () => true, method: () => true })
      .reply(status, body, { headers })
    return this.#agent.dispatch(options, handler)
  }

  #answer (request: WireRequest): WireAnswer {
    for (const server of this.#servers) {
      const answer = server(request)
      if (answer !== undefined) return answer
    }
    return { headers: { 'content-type': 'application/json' } }
  }

  override async close (): Promise<void> {
    await this.#agent.close()
  }
}

function headersOf (headers: Record<string, string | string[] | undefined> = {}): Record<string, string> {
  const entries = Object.entries(headers).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), [value].flat().join(', ')]))
}

function bodyOf (body: unknown): string {
  if (body === undefined || body === null) return ''
  if (typeof body === 'string' || Buffer.isBuffer(body)) return body.toString()
  throw new TypeError(`a request has a body that cannot be recorded: ${String(body)}`)
}

/**
 * Answers the requests to one address, whatever their query: with a list in order (the last one again and again), or
 * always the same.
 */
export function serve (address: unknown, answers: WireAnswer | readonly WireAnswer[]): Server {
  const list = [answers].flat() as WireAnswer[]
  const known = withoutQuery(address)
  return (request) => {
    if (known === undefined || withoutQuery(request.url) !== known) return undefined
    return list.length > 1 ? list.shift() : list[0]
  }
}

function withoutQuery (address: unknown): string | undefined {
  if (typeof address !== 'string' || !URL.canParse(address)) return undefined
  const { origin, pathname } = new URL(address)
  return origin + pathname
}

/** The fields of a form, or of a query. */
export function fieldsOf (params: URLSearchParams): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {}
  for (const name of new Set(params.keys())) {
    const values = params.getAll(name)
    fields[name] = values.length === 1 ? values[0]! : values
  }
  return fields
}
