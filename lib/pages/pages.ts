// The plugin's own pages: a choice of providers, errors, logout. Complete HTML documents without scripts or other
// files. An app replaces one by a function of its own that takes the same data.

import { html, type Markup, ownPath, page } from './html.ts'

/** A link on a page. */
export interface Link {
  /** a path on the app's own origin, with its query: `/login/github?returnTo=%2Forders` */
  href: string
  /** its text, plain: `GitHub`, `Try again` */
  label: string
}

/** The page on which the user chooses a provider. */
interface ChooserData {
  /** one link for each provider, in the order that they are shown in */
  providers: Link[]
  /** plain text; default `Log in` */
  heading?: string
}

/** The page that says what went wrong and how to go on. It never holds a text that the provider sent. */
interface ErrorData {
  /** the error's code, `FST_OAUTH_…`, shown small as a reference for support */
  code: string
  /** the HTTP status that the page is sent with */
  statusCode: number
  /** the heading, plain text, a few words; see `describeError` */
  title: string
  /** what happened and what helps, plain text, a sentence or two */
  message: string
  /** the request's id in the app's log */
  requestId?: string
  /** links to go on with, the most useful one first */
  actions: Link[]
}

/** The page that asks before logging out: a form with one button, sent by POST. */
interface LogoutConfirmationData {
  /** where the form is sent, a path on the app's own origin: `/logout` */
  action: string
  /** who is logged in, plain text as the provider names them: `Ada Lovelace` */
  userName?: string
  /** where to go after the logout, as it came with the request; sent on in the form's field `returnTo` */
  returnTo?: string
  /** where "Stay logged in" leads, a path on the app's own origin; default `/` */
  cancelHref?: string
}

/** The page that says that the user is logged out. */
interface LoggedOutData {
  /** links to go on with, the most useful one first */
  actions: Link[]
}

/** The page with username and password, for a provider that uses the legacy password grant. */
interface LoginFormData {
  /** where the form is sent, a path on the app's own origin: `/login/acme`; its fields are those named below */
  action: string
  /** the provider's title, plain text: `Acme` */
  provider: string
  /** what was entered in the field `username` in the last attempt */
  username?: string
  /** why the last attempt failed, plain text in the app's own words */
  error?: string
  /** where to go after the login; sent on in the field `returnTo` */
  returnTo?: string
}

/** The page that leads on by itself: to the provider's logout, or past a session cookie with `SameSite=Strict`. */
export interface OnwardData {
  /** the heading, plain text, a few words: `Logging out` */
  title: string
  /** what is going on, plain text, a sentence or two */
  message: string
  /** where it leads: a path on the app's own origin, or a URL of the provider */
  href: string
}

/** The page at the end of a login in a popup, if that stays open: the plugin's script closes it. */
export interface PopupData {
  /** how the login ended */
  outcome: 'logged_in' | 'error'
  /** the error's code, `FST_OAUTH_…` */
  code?: string
  /** the heading, plain text, a few words: `You are logged in` */
  title: string
  /** what happened and what helps, plain text, a sentence or two */
  message: string
  /** links to go on with, the most useful one first */
  actions: Link[]
}

/** The plugin's own pages: each function takes data and returns a whole HTML document. */
export interface Pages {
  /** Lets the user choose a provider. */
  chooser (data: ChooserData): string
  /** Says what went wrong and how to go on. */
  error (data: ErrorData): string
  /** Asks before logging out. */
  logoutConfirmation (data: LogoutConfirmationData): string
  /** Says that the user is logged out. */
  loggedOut (data: LoggedOutData): string
  /** Asks for username and password. */
  loginForm (data: LoginFormData): string
  /**
   * Goes on by itself, so its `<head>` needs `<meta http-equiv="refresh" content="0; url=…">` with the page's `href`;
   * and a link to it, for who would wait.
   */
  onward (data: OnwardData): string
  /**
   * Ends a login in a popup. The plugin adds the script that tells the opener and closes the window, and a
   * Content-Security-Policy with no other script.
   */
  popup (data: PopupData): string
}

function actionList (actions: Link[]): Markup | undefined {
  if (actions.length === 0) return undefined
  return html`<ul>${actions.map(({ href, label }, index) =>
    html`<li><a class="button${index === 0 ? ' primary' : ''}" href="${ownPath(href)}">${label}</a></li>`)}</ul>`
}

function hidden (name: string, value: string | undefined): Markup | undefined {
  return value === undefined ? undefined : html`<input type="hidden" name="${name}" value="${value}">`
}

/** The pages that are shown if the app has none of its own. */
export const defaultPages: Pages = {
  chooser ({ providers, heading = 'Log in' }) {
    return page(heading, html`<h1 id="heading">${heading}</h1>
<p>Choose how you want to log in.</p>
<nav aria-labelledby="heading"><ul>${providers.map(({ href, label }) =>
  html`<li><a class="button" href="${ownPath(href)}">${label}</a></li>`)}</ul></nav>`)
  },

  error ({ code, title, message, requestId, actions }) {
    return page(title, html`<h1>${title}</h1>
<p>${message}</p>
${actionList(actions)}`, html`<footer>
<p>Reference: <code>${code}</code></p>
${requestId === undefined ? undefined : html`<p>Request: <code>${requestId}</code></p>`}
</footer>`)
  },

  // <bdi>: a name with its own writing direction must not turn around the words beside it.
  logoutConfirmation ({ action, userName, returnTo, cancelHref = '/' }) {
    return page('Log out?', html`<h1>Log out?</h1>
<p>You are logged in${userName ? html` as <strong><bdi>${userName}</bdi></strong>` : undefined}.</p>
<form method="post" action="${ownPath(action)}">
${hidden('returnTo', returnTo)}
<button class="button primary" type="submit">Log out</button>
<a class="button" href="${ownPath(cancelHref)}">Stay logged in</a>
</form>`)
  },

  loggedOut ({ actions }) {
    return page('You are logged out', html`<h1>You are logged out</h1>
<p>If other people use this device, close the browser window too.</p>
${actionList(actions)}`)
  },

  // After a failed attempt the focus is on the password, which has the error as its description: screen readers that do
  // not read an alert which is in the page from the start read it there.
  loginForm ({ action, provider, username, error, returnTo }) {
    const failed = error ? html` aria-describedby="error" autofocus` : undefined
    return page(`${error ? 'Error: ' : ''}Log in to ${provider}`, html`<h1>Log in to ${provider}</h1>
${error ? html`<p class="alarm" role="alert" id="error">${error}</p>` : undefined}
<form method="post" action="${ownPath(action)}">
${hidden('returnTo', returnTo)}
<div class="field">
<label for="username">Username</label>
<input id="username" name="username" type="text" value="${username}" required autocomplete="username"
 autocapitalize="none" autocorrect="off" spellcheck="false">
</div>
<div class="field">
<label for="password">Password</label>
<input id="password" name="password" type="password" required autocomplete="current-password"${failed}>
</div>
<button class="button primary" type="submit">Log in</button>
</form>`)
  },

  onward ({ title, message, href }) {
    return page(title, html`<h1>${title} …</h1>
<p>${message}</p>
<ul><li><a class="button primary" href="${href}">Continue</a></li></ul>`,
    undefined, html`<meta http-equiv="refresh" content="0; url=${href}">`)
  },

  popup ({ title, message, actions }) {
    return page(title, html`<h1>${title}</h1>
<p>${message}</p>
<ul>${actions.map(({ href, label }) => html`<li><a class="button" href="${ownPath(href)}">${label}</a></li>`)}</ul>`)
  },
}
