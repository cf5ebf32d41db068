import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { parse, type ParsedUrlQuery } from 'node:querystring'
import { Gate } from './gate.ts'
import type { Context } from './oidc-types.ts'
import { peekBody } from './peek-body.ts'

/** A request that came to one of the provider's endpoints. */
export interface EndpointRequest {
  /** The endpoint. */
  readonly endpoint: EndpointName
  /** The HTTP method. */
  readonly method: string
  /** Path and query. */
  readonly url: string
  /** The header fields, in lower case. */
  readonly headers: IncomingHttpHeaders
  /** The parameters of query and form together; a repeated parameter is a list. */
  readonly params: ParsedUrlQuery
  /** Those of the form alone. */
  readonly body: ParsedUrlQuery
  /** Whether the real provider has acted on it, even if its answer was lost. */
  processed: boolean
  /** The real provider's answer, even if a fault kept it from the client. */
  answer?: Answer
}

/** What an endpoint answers. */
export interface Answer {
  /** The HTTP status. */
  readonly status: number
  /** Header fields; those of the provider's own answer stay if they are not named. */
  readonly headers?: Record<string, string>
  /** An object is sent as JSON, a string as it is. */
  readonly body?: unknown
}

/** A request that a fault may answer. */
export interface Exchange {
  /** The request. */
  readonly request: EndpointRequest
  /** Lets the real provider act on the request, and returns what it would have answered. */
  process (): Promise<Answer>
  /** The raw response, for a fault that writes or cuts it off itself. */
  readonly response: ServerResponse
}

/** Returns the answer, or nothing if the fault uses the raw response itself. */
export type Fault = (exchange: Exchange) => Answer | void | Promise<Answer | void>

/** Selects requests. Default all. */
export interface Filter {
  /** Only token requests of this `grant_type`. */
  readonly grantType?: string
  /** Only requests for which this returns true. */
  readonly when?: (request: EndpointRequest) => boolean
}

/** A fault that an endpoint has. */
export interface RunningFault {
  /** How many requests it has met. */
  readonly hits: number
  /** Ends it. */
  stop (): void
}

/** The routes of oidc-provider that can be watched, held and failed. */
export const ENDPOINT_PATHS = {
  discovery: '/.well-known/openid-configuration',
  jwks: '/jwks',
  authorization: '/auth',
  pushedAuthorizationRequest: '/request',
  token: '/token',
  userinfo: '/me',
  revocation: '/token/revocation',
  introspection: '/token/introspection',
  deviceAuthorization: '/device/auth',
  endSession: '/session/end'
}

/** An endpoint of the provider. */
export type EndpointName = keyof typeof ENDPOINT_PATHS

interface Rule extends RunningFault {
  hits: number
  times: number
  readonly fault: Fault
  readonly filter: Filter
}

interface Hold {
  readonly gate: Gate<EndpointRequest>
  readonly afterwards: boolean
  readonly filter: Filter
}

/** What a test sees of one endpoint of the real provider, and what it can do to it. */
export class Endpoint {
  /** Every request that came, in order, from its arrival on. */
  readonly requests: EndpointRequest[] = []
  readonly #name: EndpointName
  readonly #onRequest: (request: EndpointRequest) => void
  readonly #rules = new Set<Rule>()
  readonly #holds: Hold[] = []

  /** @param onRequest is told of each request as it arrives */
  constructor (name: EndpointName, onRequest: (request: EndpointRequest) => void) {
    this.#name = name
    this.#onRequest = onRequest
  }

  /**
   * Holds the requests that come from now on: before the provider acts on them, or with `afterwards` when it has
   * acted and only the answer is missing.
   */
  hold ({ afterwards = false, ...filter }: Filter & { afterwards?: boolean } = {}): Gate<EndpointRequest> {
    const gate = new Gate<EndpointRequest>()
    this.#holds.push({ gate, afterwards, filter })
    return gate
  }

  /** Answers `times` requests in place of the provider (default all), until `stop()`. */
  fail (fault: Fault | Answer, { times = Infinity, ...filter }: Filter & { times?: number } = {}): RunningFault {
    const rule: Rule = {
      hits: 0,
      times,
      filter,
      fault: typeof fault === 'function' ? fault : () => fault,
      stop: () => { this.#rules.delete(rule) },
    }
    this.#rules.add(rule)
    return rule
  }

  /** Stands in front of the provider's own handler. */
  async handle (ctx: Context, next: () => Promise<void>): Promise<void> {
    const body = { ...parse(await peekBody(ctx.req)) }
    const request: EndpointRequest = {
      endpoint: this.#name,
      method: ctx.method,
      url: ctx.req.originalUrl ?? ctx.url,
      headers: ctx.headers,
      params: { ...parse(ctx.querystring), ...body },
      body,
      processed: false,
    }
    this.requests.push(request)
    this.#onRequest(request)
    const process = async () => {
      if (request.answer === undefined) {
        await next()
        request.processed = true
        request.answer = currentAnswer(ctx)
      }
      return request.answer
    }

    await this.#passHolds(request, false)
    const answer = await this.#faultFor(request)({ request, process, response: ctx.res })
    await this.#passHolds(request, true)

    if (answer === undefined) ctx.respond = false
    else if (answer !== request.answer) applyAnswer(ctx, answer)
  }

  async #passHolds (request: EndpointRequest, afterwards: boolean): Promise<void> {
    for (const hold of this.#holds) {
      if (hold.afterwards === afterwards && matches(hold.filter, request)) await hold.gate.pass(request)
    }
  }

  #faultFor (request: EndpointRequest): Fault {
    for (const rule of this.#rules) {
      if (rule.hits < rule.times && matches(rule.filter, request)) {
        rule.hits++
        return rule.fault
      }
    }
    return ({ process }) => process()
  }
}

function matches ({ grantType, when }: Filter, request: EndpointRequest): boolean {
  return (grantType === undefined || request.body.grant_type === grantType) && (when === undefined || when(request))
}

function currentAnswer (ctx: Context): Answer {
  const headers = Object.entries(ctx.response.headers).map(([name, value]) => [name, String(value)])
  return { status: ctx.status, headers: Object.fromEntries(headers) as Record<string, string>, body: ctx.body }
}

function applyAnswer (ctx: Context, { status, headers = {}, body = '' }: Answer): void {
  ctx.body = body
  ctx.status = status
  // Those of the answer that is replaced stay if they are not named; its length would be a lie.
  const { 'content-length': _, ...others } = headers
  ctx.set(others)
}
