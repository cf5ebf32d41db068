import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, type ContextManager, context, ROOT_CONTEXT } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor
} from '@opentelemetry/sdk-trace-base'
import type { Test } from 'tap'
import { instrument } from '../../lib/opentelemetry.ts'
import { listen } from './listen.ts'

/** The context manager of OpenTelemetry's SDK for Node, in as few lines. */
class Contexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>()

  active (): Context { return this.#storage.getStore() ?? ROOT_CONTEXT }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>> (
    active: Context, work: F, thisArg?: ThisParameterType<F>, ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => work.apply(thisArg, args))
  }

  bind<T> (_active: Context, target: T): T { return target }
  enable (): this { return this }
  disable (): this { return this }
}

/** One sample of a scrape: the name of a metric, its labels, and its value. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** OpenTelemetry with its SDK, instrumented for the package: spans in memory, metrics for Prometheus. */
export async function startTelemetry (t: Test) {
  context.setGlobalContextManager(new Contexts())
  const spans = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
  const prometheus = new PrometheusExporter({ preventServerStart: true })
  const meterProvider = new MeterProvider({ readers: [prometheus] })
  const { port, close } = await listen((request, response) => {
    prometheus.getMetricsRequestHandler(request, response)
  })
  const stop = instrument({ tracerProvider, meterProvider })
  t.after(async () => {
    stop()
    context.disable()
    await Promise.all([close(), tracerProvider.shutdown(), meterProvider.shutdown()])
  })
  return {
    tracerProvider,
    stop,
    /** The spans that have ended, in that order. */
    get spans (): ReadableSpan[] { return spans.getFinishedSpans() },
    /** Forgets the spans that have ended. */
    clear: () => { spans.reset() },
    /** What Prometheus reads. */
    scrape: async (): Promise<Sample[]> => samplesOf(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text())
  }
}

/** The samples in the text of a scrape. */
export function samplesOf (text: string): Sample[] {
  return [...text.matchAll(/^(\w+)(?:\{(.*)\})? ([^ \n]+)/gm)].map(([, name = '', labels = '', value]) => ({
    name,
    labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, text]) => [label, text])),
    value: Number(value)
  }))
}
