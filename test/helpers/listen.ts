import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'

export interface Listening {
  readonly server: Server
  readonly port: number
  /** Cuts every connection, those in the middle of an answer too. May be called again. */
  close (): Promise<void>
}

/** An HTTP server on a free port of the loopback interface. */
export async function listen (handler?: RequestListener): Promise<Listening> {
  const server = createServer(handler)
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
