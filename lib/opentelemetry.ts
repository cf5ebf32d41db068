import {
  type Attributes, context, type Counter, metrics, type MeterProvider, type Span, SpanKind, SpanStatusCode, trace,
  type Tracer, type TracerProvider
} from '@opentelemetry/api'
import type { TracingChannel, TracingChannelSubscribers } from 'node:diagnostics_channel'
import { InvalidOptionsError } from './errors.ts'
import { channels, kRunIn, type RunIn, type Trace, type Traces } from './util/tracing.ts'

/** Options of `instrument`. */
export interface InstrumentOptions {
  /** Makes the spans. Default the global one, as it is when `instrument` is called. */
  tracerProvider?: TracerProvider
  /** Makes the metrics. Default the global one, as it is when `instrument` is called. */
  meterProvider?: MeterProvider
}

const NAME = 'fastify-oauth-session'
const PREFIX = 'fastify_oauth_session'

/** Bounds of buckets in seconds: those that OpenTelemetry advises for requests over HTTP. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

/** The methods that are values of an attribute; any other method is `_OTHER`. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'QUERY']

/** Outcomes of an operation that failed. */
const ERRORS: readonly (string | undefined)[] = ['failed', 'refused', 'lost']

type Counters = Record<'logins' | 'refreshes' | 'lostRefreshes' | 'logouts' | 'storeErrors', Counter>

/** How one kind of operation becomes a span and metrics. */
interface Operation<Message> {
  /** The kind of its spans; it has none if absent. */
  kind?: SpanKind
  /** Attributes of its spans and metrics, beside those that all have. Each has few values. */
  attributes?: (message: Message) => Attributes
  /** Further attributes of its spans. */
  spanAttributes?: (message: Message) => Attributes
  count?: (counters: Counters, message: Message, attributes: Attributes) => void
}

const OPERATIONS: { readonly [Name in keyof Traces]: Operation<Traces[Name]> } = {
  login: {
    kind: SpanKind.INTERNAL,
    // One that was sent to the provider is counted when it comes back.
    count: ({ logins }, { outcome }, attributes) => {
      if (outcome === 'succeeded' || outcome === 'failed') logins.add(1, attributes)
    }
  },
  callback: {
    kind: SpanKind.INTERNAL,
    count: ({ logins }, { outcome = '' }, attributes) => {
      if (['succeeded', 'linked', 'declined', 'failed'].includes(outcome)) logins.add(1, attributes)
    }
  },
  exchange: {
    kind: SpanKind.CLIENT,
    attributes: ({ grantType }) => ({ 'oauth.grant_type': grantType })
  },
  refresh: {
    kind: SpanKind.INTERNAL,
    count: ({ refreshes, lostRefreshes }, { provider, outcome }, attributes) => {
      refreshes.add(1, attributes)
      // With 0 there is a series before the first one is lost: an alert on its increase misses none.
      lostRefreshes.add(outcome === 'lost' ? 1 : 0, { 'oauth.provider': provider })
    }
  },
  call: {
    kind: SpanKind.CLIENT,
    attributes: ({ method, statusCode }) => ({
      'http.request.method': METHODS.includes(method) ? method : '_OTHER',
      'http.response.status_code': statusCode
    }),
    // Not of metrics: a call without the token may go anywhere.
    spanAttributes: ({ method, origin }) => ({
      ...(!METHODS.includes(method) && { 'http.request.method_original': method }),
      ...(origin !== undefined && addressOf(new URL(origin)))
    })
  },
  logout: {
    kind: SpanKind.INTERNAL,
    attributes: ({ reason }) => ({ 'oauth.logout.reason': reason }),
    spanAttributes: ({ ended }) => ({ 'oauth.logout.ended': ended }),
    count: ({ logouts }, _message, attributes) => { logouts.add(1, attributes) }
  },
  store: {
    attributes: ({ store, method }) => ({ 'oauth.store.name': store, 'oauth.store.method': method }),
    count: ({ storeErrors }, { store, method, outcome }) => {
      const attributes = { 'oauth.store.name': store, 'oauth.store.method': method }
      storeErrors.add(outcome === 'failed' ? 1 : 0, attributes)
    }
  }
}

/**
 * Reports to OpenTelemetry: spans of logins, callbacks, token requests, refreshes, calls and logouts, as children of
 * the active span; counters, and histograms of durations in seconds. None holds a token, a code, a state, a secret or a
 * user's id. It covers the whole process: call it once, after the SDK has been set up.
 * @param options providers of spans and metrics other than the global ones
 * @returns a function that ends it
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function instrument (options: InstrumentOptions = {}): () => void {
  const { tracerProvider = trace.getTracerProvider(), meterProvider = metrics.getMeterProvider() } = options
  if (typeof tracerProvider?.getTracer !== 'function' || typeof meterProvider?.getMeter !== 'function') {
    throw new InvalidOptionsError('instrument takes { tracerProvider, meterProvider } of OpenTelemetry, or nothing')
  }
  const tracer = tracerProvider.getTracer(NAME)
  const meter = meterProvider.getMeter(NAME)
  const counter = (name: string, unit: string, description: string) =>
    meter.createCounter(`${PREFIX}.${name}`, { unit, description })
  const counters: Counters = {
    logins: counter('logins', '{login}', 'Logins that have come to an end, by outcome'),
    refreshes: counter('refreshes', '{refresh}', 'Refreshes of token sets, by outcome'),
    lostRefreshes: counter('lost_refreshes', '{refresh}', 'Refreshed tokens that were lost on their way'),
    logouts: counter('logouts', '{logout}', 'Logouts, by who asked for them'),
    storeErrors: counter('store_errors', '{error}', 'Calls to a store that failed or took too long')
  }
  const ends = (Object.keys(OPERATIONS) as (keyof Traces)[]).map((name) => {
    const duration = meter.createHistogram(`${PREFIX}.${name}.duration`, {
      unit: 's',
      description: `Duration of a ${name}`,
      advice: { explicitBucketBoundaries: BUCKETS }
    })
    const record = (message: Trace, attributes: Attributes) => {
      duration.record((message.duration ?? 0) / 1000, attributes)
      OPERATIONS[name].count?.(counters, message as never, attributes)
    }
    return subscribe(name, tracer, record)
  })
  return () => { for (const end of ends) end() }
}

/** Makes spans of one kind of operation, and has each recorded when it is over. */
function subscribe (
  name: keyof Traces, tracer: Tracer, record: (message: Trace, attributes: Attributes) => void
): () => void {
  const { kind, attributes: own, spanAttributes } = OPERATIONS[name] as Operation<Trace>
  const channel = channels[name] as TracingChannel<unknown, Trace>
  const spans = new Map<Trace, Span>()
  const attributesOf = (message: Trace): Attributes => defined({
    'oauth.provider': message.provider,
    'oauth.outcome': message.outcome,
    'error.type': message.code,
    ...own?.(message)
  })
  const subscribers: Partial<TracingChannelSubscribers<Trace>> = {
    asyncEnd: (message) => {
      const attributes = attributesOf(message)
      record(message, attributes)
      const span = spans.get(message)
      if (span === undefined) return
      spans.delete(message)
      span.setAttributes(defined({ ...attributes, 'oauth.error': message.oauthError, ...spanAttributes?.(message) }))
      noteError(span, message)
      span.end()
    }
  }
  if (kind !== undefined) {
    subscribers.start = (message) => {
      const span = tracer.startSpan(`oauth.${name}`, { kind, attributes: attributesOf(message) })
      spans.set(message, span)
      const active = trace.setSpan(context.active(), span)
      const runIn: RunIn = work => context.with(active, work)
      Object.assign(message, { [kRunIn]: runIn })
    }
  }
  channel.subscribe(subscribers as TracingChannelSubscribers<Trace>)
  return () => {
    channel.unsubscribe(subscribers as TracingChannelSubscribers<Trace>)
    for (const span of spans.values()) span.end()
    spans.clear()
  }
}

function noteError (span: Span, message: Trace): void {
  const { outcome, code } = message
  const { statusCode = 0 } = message as Partial<Traces['call']>
  if (statusCode >= 400) span.setAttribute('error.type', String(statusCode))
  if (ERRORS.includes(outcome) || statusCode >= 400) {
    span.setStatus({ code: SpanStatusCode.ERROR, ...(code !== undefined && { message: code }) })
  }
}

function addressOf ({ hostname, port, protocol }: URL): Attributes {
  return { 'server.address': hostname, 'server.port': Number(port) || (protocol === 'https:' ? 443 : 80) }
}

/** Without members that are undefined: exporters write them as empty texts. */
function defined (attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
}
