import { text } from 'node:stream/consumers'
import { escapeHtml } from '../pages/html.ts'
import type { Context, Middleware, Provider } from './oidc-types.ts'
import type { TestUsers } from './users.ts'

// The pages that the user sees at the provider: plain forms, which need no script.

/** How a login ends without a question, as oidc-provider's interactions have it. */
export type Login = { accountId: string, acr?: string, amr?: string[], ts?: number }

const STYLE = `
  :root { color-scheme: light dark }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 22rem; margin: 3rem auto; padding: 0 1rem }
  form { margin: 0 0 .75rem }
  label { display: block; margin: 0 0 .75rem }
  input { display: block }
  input, button { box-sizing: border-box; font: inherit; padding: .4rem .75rem; min-height: 2.75rem }
  input, form > button:only-of-type { width: 100% }
  pre { white-space: pre-wrap; overflow-wrap: anywhere }`

function page (ctx: Context, title: string, content: string, status = 200): void {
  ctx.status = status
  ctx.type = 'html'
  ctx.body = '<!DOCTYPE html><html lang="en"><meta charset="utf-8">' +
    '<meta name="viewport" content="width=device-width, initial-scale=1">' +
    `<title>${title}</title><style>${STYLE}</style><h1>${title}</h1><p>This is a provider for tests.</p>` +
    `${content}</html>`
}

function loginPage (ctx: Context, users: TestUsers, { login = '', error = '' }): void {
  const withoutPassword = Object.entries(users).filter(([, { password }]) => password === undefined)
  const buttons = withoutPassword.map(([sub, { name = sub }]) => `
    <form method="post">
      <input type="hidden" name="login" value="${escapeHtml(sub)}">
      <button type="submit">${escapeHtml(name)}</button>
    </form>`)
  const choice = buttons.length === 0 ? '' : `<p>Or, without a password, as:</p>${buttons.join('')}`
  page(ctx, 'Sign in', `
    <p role="alert">${escapeHtml(error)}</p>
    <form method="post">
      <label>Login <input name="login" value="${escapeHtml(login)}" autofocus></label>
      <label>Password <input type="password" name="password"></label>
      <button type="submit">Sign in</button>
      <button type="submit" name="cancel" value="yes">Cancel</button>
    </form>${choice}`, error === '' ? 200 : 401)
}

/**
 * Where oidc-provider sends the browser when it needs the user (`/interaction/:uid`). A login asks for the password;
 * consent is given without asking, and by then `loadExistingGrant` has granted every requested scope.
 * @param users who may log in
 * @param loginOf whom a request logs in without a question
 */
export function interactionPages (
  provider: Provider, users: TestUsers, loginOf: (ctx: Context) => Login | undefined
): Middleware {
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next()

    const { prompt, params } = await provider.interactionDetails(ctx.req, ctx.res)
    const finish = async (result: object, mergeWithLastSubmission = false) => {
      ctx.status = 303
      ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission }))
    }

    if (prompt.name === 'consent') return finish({ consent: {} }, true)
    const known = loginOf(ctx)
    if (known !== undefined) return finish({ login: known })
    if (ctx.method === 'GET') return loginPage(ctx, users, { login: params.login_hint ?? '' })

    const { login = '', password, cancel } = Object.fromEntries(new URLSearchParams(await text(ctx.req)))
    if (cancel !== undefined) return finish({ error: 'access_denied', error_description: 'the user said no' })
    const user = Object.hasOwn(users, login) ? users[login] : undefined
    if (user === undefined || (user.password !== undefined && user.password !== password)) {
      return loginPage(ctx, users, { login, error: 'Wrong login or password.' })
    }
    // Whatever authentication context was asked for first is the one that took place.
    const acr = params.acr_values?.split(' ')[0]
    return finish({ login: { accountId: login, amr: ['pwd'], ...(acr === undefined ? {} : { acr }) } })
  }
}

/** oidc-provider's `logoutSource`: its form has no button, ours says yes with JavaScript and without. */
export function logoutPage (ctx: Context, form: string): void {
  const confirmation = '<input type="hidden" name="logout" value="yes"><button type="submit">Sign out</button></form>'
  page(ctx, 'Sign out?', form.replace('</form>', confirmation))
}

export function loggedOutPage (ctx: Context): void {
  page(ctx, 'Signed out', '')
}

/** `renderError`: with the reason of an internal error too, for debugging a test. */
export function errorPage (ctx: Context, out: Record<string, string>, error: Error): void {
  const details = out.error === 'server_error' ? error.stack ?? '' : ''
  page(ctx, 'Error', `<pre>${escapeHtml(`${out.error}: ${out.error_description}\n${details}`)}</pre>`, ctx.status)
}

/** The three pages of the device flow; the forms come from oidc-provider. */
export const devicePages = {
  userCodeInputSource: (ctx: Context, form: string, _out: unknown, error?: Error) =>
    page(ctx, 'Device', (error === undefined ? '' : '<p role="alert">Wrong code.</p>') + withButton(form)),
  userCodeConfirmSource: (ctx: Context, form: string) => page(ctx, 'Confirm device', withButton(form)),
  successSource: (ctx: Context) => page(ctx, 'Device signed in', ''),
}

function withButton (form: string): string {
  return form.replace('</form>', '<button type="submit">Continue</button></form>')
}
