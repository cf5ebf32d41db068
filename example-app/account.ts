// The page about the login: the user's sessions, and an account at a second provider.
import type { FastifyInstance } from 'fastify'
import type { EventLog } from './event-log.ts'
import { page } from './pages.ts'
import type { ListedSession, SessionList } from './sessions.ts'
import { Html, render, renderEach } from './templates.ts'

interface AccountOptions {
  sessions: SessionList
  events: EventLog
  /** Whether there is a second provider. */
  hasMill: boolean
}

export async function accountRoutes (
  app: FastifyInstance, { sessions, events, hasMill }: AccountOptions
): Promise<void> {
  // A page of another site cannot post here: the session cookie is SameSite=Lax.
  app.addHook('onRequest', app.oauth.requireLogin({ provider: 'bakery' }))
  // The forms of this page are a button each: their bodies are empty.
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, async () => undefined)

  app.get<{ Querystring: { done?: string } }>('/', async ({ oauth, session, query: { done = '' } }, reply) => {
    const { id, name = id } = oauth.user!
    const message = Object.hasOwn(notices, done) ? notices[done] : undefined
    const rows = sessions.of(id).map((one) => describe(one, one.id === session.device?.id))
    const content = render('account.html', {
      name,
      notice: message === undefined ? new Html('') : render('account-notice.html', { message }),
      sessions: renderEach('account-session.html', rows),
      mill: hasMill ? millCard(oauth.accounts) : new Html(''),
    })
    return page(reply, 'Your account', content)
  })

  app.post<{ Params: { id: string } }>('/sessions/:id/end', async (request, reply) => {
    const { id } = request.oauth.user!
    sessions.end(id, request.params.id)
    // That browser connects again, and finds that it is logged out.
    events.disconnect(id)
    return reply.redirect('/account/?done=ended', 303)
  })

  // logoutUser ends the user's logins on every process, this one among them.
  app.post('/sessions/end-all', async (request, reply) => {
    await app.oauth.logoutUser({ provider: 'bakery', subject: request.oauth.user!.id })
    return reply.redirect('/', 303)
  })

  // A second account beside the first: request.oauth.using('mill') makes calls with it.
  app.get('/mill', async (request, reply) =>
    await request.oauth.login(reply, { provider: 'mill', link: true, returnTo: '/account/?done=connected' }))

  app.post('/mill/disconnect', async (request, reply) => {
    await request.oauth.disconnect('mill')
    return reply.redirect('/account/?done=disconnected', 303)
  })
}

/** What the page says of what has just been done. */
const notices: Record<string, string> = {
  ended: 'That session has ended.',
  connected: 'An account at the mill is connected.',
  disconnected: 'The account at the mill is disconnected.',
}

function describe ({ id, browser, since, seen }: ListedSession, isOwn: boolean) {
  const time = (at: number) => new Date(at).toLocaleTimeString('en-GB')
  // The session of this browser ends with a logout.
  const end = isOwn ? new Html('') : render('account-end.html', { id, browser, since: time(since) })
  return { browser, since: time(since), seen: time(seen), mark: isOwn ? 'this one' : '', end }
}

function millCard (accounts: { provider: string, user: { id: string, email?: string } | null }[]): Html {
  const user = accounts.find(({ provider }) => provider === 'mill')?.user
  return user ? render('mill-connected.html', { who: user.email ?? user.id }) : render('mill-connect.html')
}
