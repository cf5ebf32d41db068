import { tracingChannel, type TracingChannelSubscribers } from 'node:diagnostics_channel'
import type { Test } from 'tap'
import type { Traces } from '../../lib/index.ts'

export type TraceName = keyof Traces

/** One event of a tracing channel, with its message as it was then. */
export interface TraceEvent<Name extends TraceName = TraceName> {
  name: Name
  event: keyof TracingChannelSubscribers<object>
  message: Traces[Name]
}

const NAMES: TraceName[] = ['login', 'callback', 'exchange', 'refresh', 'call', 'logout', 'store']
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const

/** Subscribes to the tracing channels of the package until the test ends. */
export function recordTraces (t: Test, names: readonly TraceName[] = NAMES) {
  const events: TraceEvent[] = []
  for (const name of names) {
    const subscribers = Object.fromEntries(EVENTS.map(event => [event, (message: object) => {
      events.push({ name, event, message: { ...message } as Traces[TraceName] })
    }])) as unknown as TracingChannelSubscribers<object>
    const channel = tracingChannel<unknown, object>(`fastify-oauth-session:${name}`)
    channel.subscribe(subscribers)
    t.after(() => { channel.unsubscribe(subscribers) })
  }
  return {
    /** All events, in order. */
    events,
    /** The messages of the operations of one kind that are over. */
    ended <Name extends TraceName> (name: Name): Traces[Name][] {
      const found = events.filter(one => one.name === name && one.event === 'asyncEnd')
      return found.map(({ message }) => message as Traces[Name])
    },
    /** Forgets what came so far. */
    clear (): void { events.length = 0 }
  }
}
