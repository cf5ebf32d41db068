import type { FastifyReply } from 'fastify'

/**
 * Awaits a hook of the app that may answer, and its answer. Fastify calls a reply sent only when all of it is written,
 * after the hooks of `onSend`: a second answer that came before would be sent too, and throw where nothing catches it.
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
