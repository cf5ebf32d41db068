// What the plugin's pages say about errors, in plain words.

/** What a page says about an error. */
interface ErrorDescription {
  /** plain text, a few words */
  title: string
  /** plain text, a sentence or two: what happened and what helps */
  message: string
  /** whether trying again makes sense */
  retry: boolean
}

/** In place of a reason: the app itself refused the login, by an error that its `onLogin` threw. */
export const REFUSED_BY_APP = 'refused_by_app'

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
  FST_OAUTH_AUTHORIZATION_FAILED: (service, statusCode, reason) => {
    if (reason === REFUSED_BY_APP) {
      return again(
        'No access with this account',
        `You logged in at ${service}, but this site does not let that account in. You can log in with another one, ` +
          'or ask the people who run this site.'
      )
    }
    if (statusCode === 403) {
      return again(
        'Login cancelled',
        `You are not logged in: the login at ${service} was cancelled, or access was not allowed. ` +
          'Nothing has changed, and you can start again whenever you like.'
      )
    }
    return again(
      'The login was turned down',
      `For a reason that is most likely not in your hands, ${service} did not let this login through. ` +
        'If it happens again, please tell the people who run this site.'
    )
  },
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
  FST_OAUTH_CROSS_SITE_REQUEST: (service, _statusCode, reason) => {
    if (reason === 'link') {
      return final(
        'Add this account?',
        `Another website led you here. Continue only if you want to add your account at ${service} to your login ` +
          'on this site. Nothing was done so far.'
      )
    }
    return final(
      'Nothing was done',
      'This request came from another website, so to be safe we did not act on it. ' +
        'If you meant to do this, please do it from a page of this site.'
    )
  },
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
 * @param reason the error's `reason`, if it has one; or REFUSED_BY_APP
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

/** The same for a login that was to add something to one that stays: only the app knows where that starts again. */
export function describeKeptLogin (
  code: string, statusCode: number, providerTitle = 'the login service', reason?: string
): ErrorDescription {
  if (code === 'FST_OAUTH_AUTHORIZATION_FAILED' && statusCode === 403) {
    return final('Nothing has changed',
      `It was cancelled at ${providerTitle}, or access was not allowed. You are logged in as before.`)
  }
  return { ...describeError(code, statusCode, providerTitle, reason), retry: false }
}

function again (title: string, message: string): ErrorDescription {
  return { title, message, retry: true }
}

function final (title: string, message: string): ErrorDescription {
  return { title, message, retry: false }
}
