// The pages of the board, and those of the plugin in the board's design.
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Pages } from 'fastify-oauth-session'
import { accounts } from './accounts.ts'
import { readAssets } from './assets.ts'
import { menu } from './orders.ts'
import { Html, render, renderEach } from './templates.ts'

export interface SiteOptions {
  issuer: string
  /** Whether the board has an orders API, or userinfo alone. */
  showsOrders: boolean
  /** Whether the provider is the embedded one, whose users and passwords are shown. */
  embedded: boolean
}

export async function siteRoutes (app: FastifyInstance, { issuer, showsOrders, embedded }: SiteOptions): Promise<void> {
  for (const { path, type, body } of readAssets()) {
    app.get(path, (_request, reply) => reply.type(type).header('cache-control', 'no-cache').send(body))
  }

  app.get<{ Querystring: { left?: string } }>('/', async (request, reply) => {
    if (request.oauth.authenticated) return reply.redirect('/board')
    const hint = embedded
      ? render('hint-embedded.html', { accounts: renderEach('account-row.html', accounts) })
      : render('hint-external.html', { issuer })
    const notice = request.query.left === undefined ? new Html('') : render('logged-out-notice.html')
    return page(reply, 'Welcome', render('welcome.html', { notice, hint }))
  })

  app.setNotFoundHandler((request, reply) => {
    reply.code(404)
    if (!request.headers.accept?.includes('text/html')) {
      return reply.send({ message: 'There is nothing at this address' })
    }
    return page(reply, 'Nothing here', render('not-found.html'))
  })

  // requireLogin sends a browser that is not logged in to the provider, and back here.
  app.get('/board', { onRequest: app.oauth.requireLogin({ provider: 'bakery' }) }, async (request, reply) => {
    const { id, name = id, email = '' } = request.oauth.user!
    const content = showsOrders
      ? render('orders.html', { menu: renderEach('menu-item.html', menu.map((item) => ({ item }))) })
      : render('profile.html', { issuer })
    return page(
      reply,
      'Orders',
      render('board.html', { userId: id, name, email, initial: name.charAt(0).toUpperCase(), content })
    )
  })
}

/** Sends a page of the board. */
export function page (reply: FastifyReply, title: string, content: Html) {
  return reply.type('text/html; charset=utf-8').header('cache-control', 'no-store').send(markup(title, content))
}

function markup (title: string, content: Html, head = new Html('')): string {
  return render('page.html', { title, content, head }).markup
}

/** The plugin's pages: each gets data and returns a whole HTML document. */
export const oauthPages: Partial<Pages> = {
  error ({ title, message, code, requestId = '', actions }) {
    return markup(title, render('oauth-error.html', { title, message, code, requestId, actions: links(actions) }))
  },
  logoutConfirmation ({ action, userName = 'an unnamed user', returnTo = '/?left', cancelHref = '/' }) {
    return markup('Log out?', render('oauth-logout.html', { action, userName, returnTo, cancelHref }))
  },
  loggedOut ({ actions }) {
    return markup('Logged out', render('oauth-logged-out.html', { actions: links(actions) }))
  },
  popup ({ title, message, actions }) {
    return markup(title, render('oauth-popup.html', { title, message, actions: links(actions) }))
  },
  onward ({ title, message, href }) {
    const head = render('oauth-onward-head.html', { href })
    return markup(title, render('oauth-onward.html', { title, message, href }), head)
  },
}

function links (actions: { href: string, label: string }[]): Html {
  return renderEach(
    'oauth-link.html',
    actions.map((action, index) => ({ ...action, look: index === 0 ? 'primary' : '' }))
  )
}
