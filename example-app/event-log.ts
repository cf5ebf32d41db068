// The events of each user, newest last: the list on the page, and its live stream (Server-Sent Events).
import { PassThrough } from 'node:stream'
import type { TokenSummary } from './token-summary.ts'

export interface NewEvent {
  kind: 'login' | 'refresh' | 'call' | 'problem' | 'logout'
  text: string
  /** The login that it belongs to, where that is known: all tabs of one browser share it. */
  login?: string
  /** For `login` and `refresh`: the fingerprints of the new token and of the one that it replaced. */
  token?: TokenSummary & { previous?: string, rotated?: boolean }
}

/** `id` is also the time of the event, in epoch milliseconds. */
export type LoggedEvent = NewEvent & { id: number }

export type EventLog = ReturnType<typeof createEventLog>

const eventsKept = 60
const usersKept = 100
const heartbeatMs = 15_000
const slowReaderBytes = 256 * 1024

export function createEventLog () {
  const logs = new Map<string, LoggedEvent[]>()
  const streams = new Map<string, Set<PassThrough>>()
  let lastId = 0

  const heartbeat = setInterval(() => {
    for (const open of streams.values()) for (const stream of open) stream.write(': still here\n\n')
  }, heartbeatMs).unref()

  return {
    publish (userId: string, event: NewEvent): void {
      // Ids rise over restarts, too: a browser that comes back with `Last-Event-ID` misses nothing.
      const logged = { ...event, id: lastId = Math.max(lastId + 1, Date.now()) }
      const log = logs.get(userId) ?? []
      logs.delete(userId) // and set again: the map stays in the order of use
      logs.set(userId, [...log, logged].slice(-eventsKept))
      if (logs.size > usersKept) logs.delete(logs.keys().next().value!)
      for (const stream of streams.get(userId) ?? []) {
        if (stream.writableLength > slowReaderBytes) stream.destroy()
        else stream.write(encode(logged))
      }
    },

    recent (userId: string): readonly LoggedEvent[] {
      return logs.get(userId) ?? []
    },

    /** What the user's browser has not seen yet (after the event `lastSeen`), and then everything as it happens. */
    stream (userId: string, lastSeen = 0): PassThrough {
      const stream = new PassThrough()
      const open = streams.get(userId) ?? new Set()
      streams.set(userId, open.add(stream))
      stream.once('close', () => {
        open.delete(stream)
        if (open.size === 0 && streams.get(userId) === open) streams.delete(userId)
      })
      stream.write('retry: 1000\n\n' + this.recent(userId).filter(({ id }) => id > lastSeen).map(encode).join(''))
      return stream
    },

    /** Ends this user's streams: their browsers connect again at once. */
    disconnect (userId: string): void {
      for (const stream of streams.get(userId) ?? []) stream.end()
    },

    close (): void {
      clearInterval(heartbeat)
      for (const open of streams.values()) for (const stream of open) stream.end()
    },
  }
}

function encode (event: LoggedEvent): string {
  return `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`
}
