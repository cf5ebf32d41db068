/* global location, window */
// Has the provider ask for the password again, in a popup, without leaving the board. The plugin's page at the end of
// the login tells this page how it went, and closes the popup.

/** Resolves to whether the user has authenticated: not where the popup was closed. */
export function stepUp (loginUrl) {
  const popup = window.open(`${loginUrl}&display=popup`, 'step-up', 'popup,width=480,height=680')
  if (popup === null) {
    // Popups are blocked: the whole page goes, and comes back.
    location.href = `${loginUrl}&returnTo=${encodeURIComponent(location.pathname)}`
    return new Promise(() => {})
  }
  return new Promise((resolve) => {
    const finish = (done) => {
      clearInterval(watch)
      window.removeEventListener('message', onMessage)
      resolve(done)
    }
    const onMessage = ({ origin, data }) => {
      if (origin === location.origin && data.type === 'fastify-oauth-session') finish(data.outcome === 'logged_in')
    }
    window.addEventListener('message', onMessage)
    // A popup that has told its outcome is closed as well: the message comes first.
    const watch = setInterval(() => { if (popup.closed) setTimeout(finish, 500, false) }, 250)
  })
}
