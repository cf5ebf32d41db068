import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TlsOptions } from 'node:tls'

export interface Listening {
  readonly server: Server
  readonly port: number
  /** Cuts every connection, those in the middle of an answer too. May be called again. */
  close (): Promise<void>
}

/**
 * An HTTP server on a free port of the loopback interface.
 * @param tls makes it an HTTPS server, with these settings
 */
export async function listen (handler?: RequestListener, tls?: TlsOptions): Promise<Listening> {
  const server = (tls === undefined ? createServer(handler) : createTlsServer(tls, handler)) as Server
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  let closing: Promise<void> | undefined
  return {
    server,
    port: (server.address() as AddressInfo).port,
    close () {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      return closing
    },
  }
}

/** A port on which nothing listens, for a program that has to be told its own before it starts. */
export async function freePort (): Promise<number> {
  const { port, close } = await listen()
  await close()
  return port
}
