import type { Page } from 'playwright-core'
import { signIn } from './chromium.ts'

/** A page of an app that opens a popup, or a hidden frame, to log in, and shows what it is told. */
export const OPENER = `<!doctype html><title>Opener</title><button>Log in</button><p></p><script>
const told = outcome => { document.querySelector('p').textContent = JSON.stringify(outcome) }
addEventListener('message', ({ origin, data }) => { if (origin === location.origin) told(data) })
new BroadcastChannel('fastify-oauth-session').onmessage = ({ data }) => told(data)
document.querySelector('button').onclick = () => {
  open('/login/acme?display=popup', 'login', 'popup,width=500,height=600')
}
function silently () {
  const frame = document.createElement('iframe')
  frame.hidden = true
  frame.src = '/login/acme?display=popup&prompt=none'
  document.body.append(frame)
}
</script>`

/** What lets the script of that page run. */
export const OPENER_POLICY = "default-src 'self' 'unsafe-inline'; frame-src *"

/** Opens the popup. */
export async function openPopup (page: Page): Promise<Page> {
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('button')])
  return popup
}

/** Logs alice in on the provider's form in a popup, which closes itself. */
export async function logInInPopup (popup: Page): Promise<void> {
  const closed = popup.waitForEvent('close')
  await signIn(popup)
  await closed
}

/** What the page is told next. */
export async function toldTo (page: Page): Promise<Record<string, unknown>> {
  const told = page.locator('p').filter({ hasText: 'outcome' })
  await told.waitFor()
  const text = await told.innerText()
  await page.evaluate("document.querySelector('p').textContent = ''")
  return JSON.parse(text) as Record<string, unknown>
}
