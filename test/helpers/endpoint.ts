import { parse, type ParsedUrlQuery } from 'node:querystring'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { Context } from 'oidc-provider'
import { Gate } from './gate.ts'
import { peekBody } from './peek-body.ts'

/** A request that came to one of the provider's endpoints. */
export interface EndpointRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** The form, every member of it; a repeated parameter is an array. */
  readonly body: ParsedUrlQuery
  /** The real provider has acted on it, whatever became of its answer. */
  processed: boolean
  /** What the real provider answered, which a fault may have kept from the client. */
  answer?: Answer
}

export interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  /** An object is sent as JSON, a string as it is. */
  readonly body?: unknown
}

export interface Exchange {
  readonly request: EndpointRequest
  /** Lets the real provider act on the request, and returns what it would have answered. */
  process (): Promise<Answer>
  /** The raw answer, for a fault that writes (or cuts) it by itself. */
  readonly response: ServerResponse
}

/** Returns what to answer, or nothing where it has taken the raw response into its own hands (faults.ts has some). */
export type Fault = (exchange: Exchange) => Answer | void | Promise<Answer | void>

export interface Filter {
  /** Only token requests of this `grant_type`. */
  readonly grantType?: string
  readonly when?: (request: EndpointRequest) => boolean
}

export interface RunningFault {
  /** How many requests it has met. */
  readonly hits: number
  stop (): void
}

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
  readonly #rules = new Set<Rule>()
  readonly #holds: Hold[] = []

  /**
   * Holds the requests that come from now on: before the provider acts on them, or with `afterwards` when it has
   * acted and only the answer is missing.
   */
  hold ({ afterwards = false, ...filter }: Filter & { afterwards?: boolean } = {}): Gate<EndpointRequest> {
    const gate = new Gate<EndpointRequest>()
    this.#holds.push({ gate, afterwards, filter })
    return gate
  }

  /** Answers `times` requests in the provider's place (all of them, unless told), until `stop()`. */
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
    const request: EndpointRequest = {
      method: ctx.method,
      url: ctx.url,
      headers: ctx.headers,
      body: { ...parse(await peekBody(ctx.req)) },
      processed: false,
    }
    this.requests.push(request)
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
  // Those of the answer that is replaced stay where they are not named; its length would be a lie.
  const { 'content-length': _, ...others } = headers
  ctx.set(others)
}
