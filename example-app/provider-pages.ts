// The pages of the provider: the login form, the logout, and errors.
import type { IncomingMessage } from 'node:http'
import type Provider from 'oidc-provider'
import type { ProviderContext } from 'oidc-provider'
import { accounts, checkPassword } from './accounts.ts'
import { pageHeaders, readAssets } from './assets.ts'
import { Html, render, renderEach } from './templates.ts'

type Middleware = Parameters<Provider['use']>[0]

/** Serves the login form at /interaction/:uid and the assets; everything else is oidc-provider's. */
export function providerPages (provider: Provider, boardUrl: string, name: string): Middleware {
  const assets = new Map(readAssets().map((asset) => [asset.path, asset]))
  const headers = pageHeaders(boardUrl)

  return async (ctx, next) => {
    ctx.set(headers)
    const asset = assets.get(ctx.path)
    if (asset) {
      ctx.type = asset.type
      ctx.body = asset.body
    } else if (ctx.path.startsWith('/interaction/')) {
      ctx.set({ 'cache-control': 'no-store' })
      await interaction(provider, ctx, boardUrl, name)
    } else {
      await next()
    }
  }
}

async function interaction (
  provider: Provider, ctx: ProviderContext, boardUrl: string, name: string
): Promise<void> {
  // The interaction is found by the cookie of the browser that started it: no other browser can finish this login.
  const details = await provider.interactionDetails(ctx.req, ctx.res).catch(() => undefined)
  if (!details) {
    return show(ctx, name, 400, 'Nothing to log in to', render('provider-error.html', {
      message: 'This login is over, or it was started in another browser.',
      board: boardUrl,
    }))
  }
  if (ctx.method !== 'POST') return showLogin(ctx, name, details.uid)

  const form = await readForm(ctx.req)
  if (form.get('action') === 'cancel') {
    const result = { error: 'access_denied', error_description: 'You cancelled the login' }
    return ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result))
  }
  const username = form.get('username')?.trim().toLowerCase() ?? ''
  const account = checkPassword(username, form.get('password') ?? '')
  if (!account) return showLogin(ctx, name, details.uid, username)
  const result = { login: { accountId: account.claims.sub } }
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result))
}

function showLogin (ctx: ProviderContext, name: string, uid: string, refused?: string): void {
  const wrong = refused === undefined ? new Html('') : render('provider-wrong-password.html')
  const [here, elsewhere] = [new Html(' autofocus'), new Html('')]
  show(ctx, name, refused === undefined ? 200 : 403, 'Log in', render('provider-login.html', {
    action: `/interaction/${uid}`,
    username: refused ?? '',
    nameFocus: refused ? elsewhere : here,
    passwordFocus: refused ? here : elsewhere,
    wrong,
    accounts: renderEach('account-row.html', accounts),
  }))
}

/** oidc-provider asks for confirmation. The user has just pressed "Log out", so `provider-logout.js` confirms. */
export function logoutRenderer (name: string) {
  return (ctx: ProviderContext, form: string): void => {
    show(ctx, name, 200, 'Logging out', render('provider-logout.html', { provider: name, form: new Html(form) }))
  }
}

/** The page after a logout that was begun here: it does not go on to the board. */
export function loggedOutRenderer (boardUrl: string, name: string) {
  return (ctx: ProviderContext): void => {
    show(ctx, name, 200, 'Logged out', render('provider-logged-out.html', { provider: name, board: boardUrl }))
  }
}

/** The page for an error of oidc-provider, with a link back. */
export function errorRenderer (boardUrl: string, name: string) {
  return (ctx: ProviderContext, { error, error_description: description }: Record<string, string>): void => {
    show(
      ctx,
      name,
      ctx.status,
      'That did not work',
      render('provider-error.html', { message: description ?? error ?? 'Unknown error', board: boardUrl })
    )
  }
}

function show (ctx: ProviderContext, provider: string, status: number, title: string, content: Html): void {
  ctx.status = status
  ctx.type = 'html'
  ctx.body = render('provider-page.html', { provider, title, content }).markup
}

async function readForm (request: IncomingMessage): Promise<URLSearchParams> {
  let body = ''
  for await (const chunk of request) {
    body += chunk
    if (body.length > 4096) throw new Error('The form is too large')
  }
  return new URLSearchParams(body)
}
