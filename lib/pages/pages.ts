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
  /** the heading, plain text, a few words; see {@link describeError} */
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

/** The page that goes on by itself: to the provider's logout, or past a session cookie with `SameSite=Strict`. */
export interface OnwardData {
  /** the heading, plain text, a few words: `Logging out` */
  title: string
  /** what is going on, plain text, a sentence or two */
  message: string
  /** where it goes on: a path on the app's own origin, or an address of the provider */
  href: string
}

/** The page at the end of a login in a popup, where that stays open: the plugin's script closes it. */
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

/** The pages that are shown where the app has none of its own. */
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

/** What a page says about an error. */
interface ErrorDescription {
  /** plain text, a few words */
  title: string
  /** plain text, a sentence or two: what happened and what helps */
  message: string
  /** whether trying again makes sense */
  retry: boolean
}

// The plugin's own words alone: a provider's `error_description` can come from an attacker.
const descriptions: Record<string, (service: string, statusCode: number, reason?: string) => ErrorDescription> = {
  FST_OAUTH_STATE_MISMATCH: (_service, _statusCode, reason) => {
    if (reason === 'logout') {
      return final(
        'No logout to finish',
        'This address finishes a logout, and none is under way in this browser: it may be over already. Nothing ' +
          'was changed.'
      )
    }
    if (reason === 'no_cookie') {
      return again(
        'Are cookies blocked?',
        'We started this login twice, and each time it came back without its cookie. Please allow cookies for this ' +
          'site, or open it in an ordinary window, and start again.'
      )
    }
    return again(
      'This login has run out',
      'It took a little too long, was already used, or was started in another browser. Nothing has changed: if you ' +
        'were logged in, you still are. If not, please start again.'
    )
  },
  FST_OAUTH_AUTHORIZATION_FAILED: (service, statusCode) =>
    statusCode === 403
      ? again(
        'Login cancelled',
          `You are not logged in: the login at ${service} was cancelled, or access was not allowed. ` +
            'Nothing has changed, and you can start again whenever you like.'
      )
      : again(
        'The login was turned down',
          `For a reason that is most likely not in your hands, ${service} did not let this login through. ` +
            'If it happens again, please tell the people who run this site.'
      ),
  FST_OAUTH_INVALID_TOKEN_RESPONSE: service =>
    again(
      'The login could not be finished',
      `We could not make use of the answer from ${service}. Your account is not affected. ` +
        'Please try again in a moment.'
    ),
  FST_OAUTH_INVALID_ID_TOKEN: service =>
    again(
      'We could not be sure it is you',
      `What ${service} told us did not pass our checks, so to be safe you are not logged in. ` +
        'Please start again. If it happens again, please tell the people who run this site.'
    ),
  FST_OAUTH_PROVIDER_UNAVAILABLE: service =>
    again('No answer right now', `We cannot reach ${service} at the moment. Please try again in a few minutes.`),
  // Shown for a failed logout as well: the user has to know that it may not have happened.
  FST_OAUTH_STORE_UNAVAILABLE: () =>
    again(
      'This site has a problem right now',
      'We cannot reach the place where logins are kept. Please try again in a few minutes. ' +
        'If you were logging out, you may still be logged in.'
    ),
  FST_OAUTH_LOGIN_REQUIRED: () => again('Please log in', 'This page is for people who are logged in.'),
  FST_OAUTH_LOGIN_ENDED: () =>
    again(
      'You are no longer logged in',
      'Your login has ended: perhaps you logged out in another window, or some time has passed. ' +
        'Log in again to carry on.'
    ),
  FST_OAUTH_STEP_UP_REQUIRED: service =>
    again(
      'This needs a little more',
      `For this page ${service} has to confirm more than it did. You are still logged in. ` +
        'You can try again, or go on without this page.'
    ),
  FST_OAUTH_TOKEN_EXPIRED: service =>
    again(
      'Your login has expired',
      `The time for which we may use ${service} for you is over. Log in again to carry on.`
    ),
  FST_OAUTH_REFRESH_LOST: service =>
    again('Please log in once more', `Your login at ${service} could not be renewed. Log in again to carry on.`),
  FST_OAUTH_CROSS_SITE_REQUEST: (service, _statusCode, reason) =>
    reason === 'link'
      ? final(
        'Add this account?',
          `Another website led you here. Continue only if you want to add your account at ${service} to your login ` +
          'on this site. ' +
            'Nothing was done so far.'
      )
      : final(
        'Nothing was done',
        'This request came from another website, so to be safe we did not act on it. ' +
            'If you meant to do this, please do it from a page of this site.'
      ),
  FST_OAUTH_UNKNOWN_PROVIDER: () =>
    final(
      'There is no such way to log in',
      'The address may be mistyped or out of date. Please choose another way to log in.'
    ),
  FST_OAUTH_TOO_MANY_ATTEMPTS: () =>
    again(
      'Too many attempts',
      'To keep accounts safe, logging in is paused for a while. Please wait a few minutes before the next attempt.'
    )
}

/**
 * What a page says when something fails, without terms of OAuth, and without text that the provider wrote.
 *
 * @param code the error's code; one that is not known is described by its status
 * @param statusCode the HTTP status that goes with it
 * @param providerTitle the provider's name for users: `GitHub`
 * @param reason the error's `reason`, where it has one
 * @returns title and message, both plain text, and whether trying again makes sense
 */
export function describeError (
  code: string, statusCode: number, providerTitle = 'the login service', reason?: string
): ErrorDescription {
  const description = Object.hasOwn(descriptions, code) ? descriptions[code] : undefined
  if (description !== undefined) return description(providerTitle, statusCode, reason)
  return statusCode >= 500
    ? again('That did not work',
      'The problem is on our side. Please try again in a few minutes. ' +
        'If it happens again, please tell the people who run this site.')
    : final('That did not work',
      'We could not make sense of this request. Please go back and start again.')
}

function again (title: string, message: string): ErrorDescription {
  return { title, message, retry: true }
}

function final (title: string, message: string): ErrorDescription {
  return { title, message, retry: false }
}
