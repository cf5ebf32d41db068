import { createClient } from 'redis'

/** A client of the Redis at this socket; tries again while the server starts. */
export async function connectRedis (path: string) {
  const client = createClient({ socket: { path, tls: false, reconnectStrategy: 50 } })
  client.on('error', () => {})
  await client.connect()
  return client
}
