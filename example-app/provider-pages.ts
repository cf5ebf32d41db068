// What people see of the provider: the login form, the word on the way out, and errors.
import type { IncomingMessage } from 'node:http'
import type Provider from 'oidc-provider'
import type { ProviderContext } from 'oidc-provider'
import { accounts, checkPassword } from './accounts.ts'
import { pageHeaders, readAssets } from './assets.ts'
import { Html, render, renderEach } from './pages.ts'

type Middleware = Parameters<Provider['use']>[0]

/** Serves the login form at /interaction/:uid and the assets; everything else is oidc-provider's. */
export function providerPages (provider: Provider, boardUrl: string): Middleware {
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
      await interaction(provider, ctx, boardUrl)
    } else {
      await next()
    }
  }
}

async function interaction (provider: Provider, ctx: ProviderContext, boardUrl: string): Promise<void> {
  // The interaction is found by the cookie of the browser that started it: nobody can finish another's login.
  const details = await provider.interactionDetails(ctx.req, ctx.res).catch(() => undefined)
  if (!details) {
    return show(ctx, 400, 'Nothing to log in to', render('id-error.html', {
      message: 'This login is over already, or it was started in another browser.',
      board: boardUrl,
    }))
  }
  if (ctx.method !== 'POST') return showLogin(ctx, details.uid)

  const form = await readForm(ctx.req)
  if (form.get('action') === 'cancel') {
    const result = { error: 'access_denied', error_description: 'You cancelled the login' }
    return ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result))
  }
  const username = form.get('username')?.trim().toLowerCase() ?? ''
  const account = checkPassword(username, form.get('password') ?? '')
  if (!account) return showLogin(ctx, details.uid, username)
  const result = { login: { accountId: account.claims.sub } }
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result))
}

function showLogin (ctx: ProviderContext, uid: string, refused?: string): void {
  const wrong = refused === undefined ? new Html('') : render('id-wrong.html')
  const [here, elsewhere] = [new Html(' autofocus'), new Html('')]
  show(ctx, refused === undefined ? 200 : 403, 'Log in', render('id-login.html', {
    action: `/interaction/${uid}`,
    username: refused ?? '',
    nameFocus: refused ? elsewhere : here,
    passwordFocus: refused ? here : elsewhere,
    wrong,
    accounts: renderEach('account.html', accounts),
  }))
}

/** oidc-provider asks whether the person means it. They have just pressed "Log out", so `id.js` answers for them. */
export function renderLogout (ctx: ProviderContext, form: string): void {
  show(ctx, 200, 'Logging out', render('id-logout.html', { form: new Html(form) }))
}

/** What oidc-provider says of its own mistakes and of others', with the way back. */
export function errorRenderer (boardUrl: string) {
  return (ctx: ProviderContext, { error, error_description: description }: Record<string, string>): void => {
    show(
      ctx,
      ctx.status,
      'That did not work',
      render('id-error.html', { message: description ?? error ?? 'Unknown error', board: boardUrl })
    )
  }
}

function show (ctx: ProviderContext, status: number, title: string, content: Html): void {
  ctx.status = status
  ctx.type = 'html'
  ctx.body = render('id.html', { title, content }).markup
}

async function readForm (request: IncomingMessage): Promise<URLSearchParams> {
  let body = ''
  for await (const chunk of request) {
    body += chunk
    if (body.length > 4096) throw new Error('The form is too large')
  }
  return new URLSearchParams(body)
}
