/** A session store on Redis for all contestants on Fastify: JSON, kept for a day. */
import type { SessionStore } from '@fastify/session'
import { connectRedis } from './redis-client.ts'

const SECONDS = 86_400

export async function createSessionStore (path: string): Promise<SessionStore> {
  const client = await connectRedis(path)
  return {
    get (id, callback) {
      client.get(`sess:${id}`).then(text => callback(null, text === null ? null : JSON.parse(text)), callback)
    },
    set (id, session, callback) {
      client.set(`sess:${id}`, JSON.stringify(session), { expiration: { type: 'EX', value: SECONDS } })
        .then(() => callback(), callback)
    },
    destroy (id, callback) {
      client.del(`sess:${id}`).then(() => callback(), callback)
    }
  }
}
