import { createServer, type RequestListener, type Server } from 'node:http'
import { type Duplex, duplexPair } from 'node:stream'
import { Agent, Dispatcher } from 'undici'

/** One end of a connection within this process. */
type MemorySocket = Duplex & { origin?: string }

/** Those that are open, the newest first: a dispatcher of one reaches the servers of the others too. */
const open: MemoryNetwork[] = []

/**
 * Servers of this process that are reached without a port: requests to their origins, https ones too, go over
 * connections in memory, through the HTTP parsers of undici and Node.js. Requests to all other origins are sent as
 * usual.
 */
export class MemoryNetwork extends Dispatcher {
  readonly #listeners = new Map<string, RequestListener>()
  readonly #server: Server
  readonly #inside: Agent
  readonly #outside: Dispatcher
  readonly #ownsOutside: boolean
  #closing: Promise<unknown> | undefined

  /**
   * @param options.outside for the requests to other origins; default an Agent of its own
   * @param options.isShared whether the dispatchers of others reach its servers too
   */
  constructor ({ outside, isShared = true }: { outside?: Dispatcher | undefined, isShared?: boolean } = {}) {
    super()
    this.#ownsOutside = outside === undefined
    this.#outside = outside ?? new Agent()
    this.#inside = new Agent({
      connect: ({ protocol, host, hostname }, callback) => {
        // undici wants a socket of `node:net`; of what only that has it uses the members that #connect() adds. And it
        // misses a connection that is there before it waits for it.
        setImmediate(() => callback(null, this.#connect(`${protocol}//${host ?? hostname}`) as never))
      }
    })
    this.#server = createServer((request, response) => {
      const listener = this.#listenerAt((request.socket as MemorySocket).origin ?? '')
      if (listener === undefined) response.destroy()
      else listener(request, response)
    })
    if (isShared) open.unshift(this)
  }

  /** Whether an origin is one of this network's own servers. */
  serves (origin: string): boolean { return this.#listeners.has(origin) }

  /** Answers the requests to an origin, in place of what answered them before. */
  serve (origin: string, listener: RequestListener): void { this.#listeners.set(origin, listener) }

  /** No longer answers the requests to an origin. */
  leave (origin: string): void { this.#listeners.delete(origin) }

  override dispatch (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const origin = options.origin === undefined ? '' : new URL(options.origin).origin
    const next = this.#listenerAt(origin) === undefined ? this.#outside : this.#inside
    return next.dispatch(options, handler)
  }

  /** Cuts all connections. May be called again. */
  async end (): Promise<void> {
    const index = open.indexOf(this)
    if (index !== -1) open.splice(index, 1)
    this.#listeners.clear()
    this.#closing ??= Promise.all([this.#inside.destroy(), this.#ownsOutside && this.#outside.destroy()])
    await this.#closing
  }

  #listenerAt (origin: string): RequestListener | undefined {
    const network = this.serves(origin) ? this : open.find(other => other.serves(origin))
    return network === undefined ? undefined : network.#listeners.get(origin)
  }

  #connect (origin: string): Duplex {
    const ends: MemorySocket[] = duplexPair()
    const [client, server] = ends as [MemorySocket, MemorySocket]
    for (const socket of ends) {
      const returnsItself = () => socket
      Object.assign(socket, {
        origin,
        // By these a server knows that the connection is secure, and whose it is.
        encrypted: origin.startsWith('https:'),
        remoteAddress: '127.0.0.1',
        remoteFamily: 'IPv4',
        ref: returnsItself,
        unref: returnsItself,
        setTimeout: returnsItself,
        setNoDelay: returnsItself,
        setKeepAlive: returnsItself
      })
    }
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
    this.#server.emit('connection', server)
    return client
  }
}
