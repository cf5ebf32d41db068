import type { FastifyReply } from 'fastify'

/**
 * Awaits a hook of the app that may send a reply, and the reply. Fastify's `reply.sent` is true only when the headers
 * are written, after the `onSend` hooks: a second reply before that would be sent too, and throw uncaught.
 */
export async function awaitHook (reply: FastifyReply | undefined, hook: () => unknown): Promise<void> {
  if (reply === undefined) {
    await hook()
    return
  }
  const { send } = reply
  let answered = false
  reply.send = (...payload) => {
    answered = true
    return send.apply(reply, payload)
  }
  try {
    await hook()
  } finally {
    reply.send = send
    if (answered && !reply.sent) await reply
  }
}
