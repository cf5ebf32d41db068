import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import t from 'tap'
import type { Page } from 'playwright-core'
import { start } from '../../example-app/start.ts'
import { startChromium } from '../helpers/chromium.ts'

/** Where SCREENSHOTS=1 puts pictures; not part of the repository. */
const pictures = new URL('../../screenshots/', import.meta.url).pathname

async function picture (page: Page, name: string): Promise<void> {
  if (process.env.SCREENSHOTS !== '1') return
  await mkdir(pictures, { recursive: true })
  await page.screenshot({ path: `${pictures}${name}.png` })
}

async function logIn (page: Page, user: string, password: string): Promise<void> {
  await page.getByLabel('User name').fill(user)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Log in' }).click()
}

/** The board and a browser in front of it; `problems` collects what the browser's console complains of. */
async function openBoard (t: Parameters<typeof startChromium>[0], accessTokenTtl: number) {
  const running = await start({ accessTokenTtl, logger: false })
  t.after(() => running.close())
  const chromium = await startChromium(t)
  if (chromium === undefined) return undefined
  const context = await chromium.newContext({ viewport: { width: 1280, height: 800 } })
  const problems: string[] = []
  context.on('console', message => {
    if (message.text().includes('Content Security Policy')) problems.push(message.text())
  })
  context.on('weberror', error => problems.push(String(error.error())))
  const page = await context.newPage()
  return { running, context, page, problems }
}

t.test(
  'a user logs in, sees their name, calls after an expiry, works in two tabs, goes back, and logs out',
  async t => {
    const board = await openBoard(t, 8)
    if (board === undefined) return
    const { running, context, page, problems } = board

    await page.goto(running.appUrl)
    await picture(page, '1-welcome')
    await page.getByRole('link', { name: /log in/i }).first().click()
    await picture(page, '2-provider')
    await logIn(page, 'alice', 'croissant')
    await page.waitForSelector('.order')
    t.match(await page.locator('#user-name').innerText(), /Alice/)
    const first = await page.locator('#token-fingerprint').innerText()
    await picture(page, '3-board')

    await page.locator('#token[data-state=over]').waitFor()
    t.match(await page.locator('#token-life').innerText(), /over/, 'a token that is not used is not refreshed')
    await page.getByRole('button', { name: 'Call now' }).click()
    await page.waitForSelector('#log [data-kind=refresh]')
    await page.locator('#token-fingerprint').filter({ hasNotText: first }).waitFor()
    t.ok(await page.locator('.order').count() > 0, 'the board is still there after the token was replaced')
    await picture(page, '4-refreshed')

    const other = await context.newPage()
    await other.goto(`${running.appUrl}/board`)
    await other.waitForSelector('.order')
    const before = running.tokenRequests
    await Promise.all([page, other].map(async tab => tab.getByRole('button', { name: '20 at once' }).click()))
    await page.locator('#call-result').filter({ hasText: '20' }).waitFor()
    t.ok(running.tokenRequests - before <= 1, 'forty calls from two tabs make one token request at most')

    // Back lands on a step of the login that is over. From there it is one step to the board, and the login goes on.
    await page.goBack()
    await picture(page, '4-back')
    await page.getByRole('link', { name: 'Back to Corner Bakery' }).click()
    await page.waitForSelector('.order')
    t.match(await page.locator('#user-name').innerText(), /Alice/, 'going back did no harm')

    await page.getByRole('button', { name: 'Log out' }).click()
    await page.waitForURL(url => url.pathname === '/')
    await picture(page, '5-logged-out')
    await other.waitForSelector('#ended:not([hidden])')
    t.match(await other.locator('#ended').innerText(), /./, 'the other tab says that it is over')
    await picture(other, '6-other-tab')
    await page.goto(`${running.appUrl}/board`)
    t.ok(await page.getByLabel('Password').isVisible(), 'and the provider asks for the password again')
    t.strictSame(problems, [])
  })

t.test('it closes beside a connection that a browser opened ahead', { timeout: 30_000 }, async (t) => {
  const { appUrl, close } = await start({ host: '127.0.0.1', logger: false })
  const socket = connect(Number(new URL(appUrl).port), '127.0.0.1')
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  const ended = once(socket, 'close')
  await Promise.all([close(), ended])
  t.pass()
})

t.test('a wrong password is reported, and may be typed again', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, page } = board
  await page.goto(`${running.appUrl}/board`)
  await logIn(page, 'alice', 'wrong')
  t.match(await page.getByRole('alert').innerText(), /Wrong user name or password/)
  // Chromium gives a field its autofocus with the next frame.
  await page.waitForSelector('#password:focus')
  await logIn(page, 'alice', 'croissant')
  await page.waitForSelector('.order')
  t.match(await page.locator('#user-name').innerText(), /Alice/)
})

t.test('two users in two browsers do not see each other', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, context, page } = board
  const second = await (await context.browser()!.newContext({ viewport: { width: 390, height: 844 } })).newPage()
  for (const [tab, user, password] of [[page, 'alice', 'croissant'], [second, 'bob', 'baguette']] as const) {
    await tab.goto(`${running.appUrl}/board`)
    await logIn(tab, user, password)
    await tab.waitForSelector('.order')
  }
  t.match(await page.locator('#user-name').innerText(), /Alice/)
  t.match(await second.locator('#user-name').innerText(), /Bob/)
  await picture(second, '7-phone')
})

t.test('a logout at the provider ends the board in every tab', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, context, page } = board
  await page.goto(`${running.appUrl}/board`)
  await logIn(page, 'alice', 'croissant')
  await page.waitForSelector('.order')
  const other = await context.newPage()
  await other.goto(`${running.providerUrl}/session/end`)
  await page.waitForSelector('#ended:not([hidden])')
  await page.goto(`${running.appUrl}/board`)
  t.ok(await page.getByLabel('Password').isVisible())
})

t.test('events of another browser of the same user are marked', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, context, page } = board
  const elsewhere = await (await context.browser()!.newContext()).newPage()
  for (const tab of [page, elsewhere]) {
    await tab.goto(`${running.appUrl}/board`)
    await logIn(tab, 'alice', 'croissant')
    await tab.waitForSelector('.order')
  }
  const marked = page.locator('#log li', { has: page.locator('.elsewhere') })
  await marked.filter({ hasText: 'logged in' }).waitFor()
  t.equal(await page.locator('#log li').filter({ hasText: 'logged in' }).count(), 2)
  t.equal(await marked.filter({ hasText: 'logged in' }).count(), 1, 'the own login is not marked')
})

t.test('the plugin\'s pages and a missing page look like the app', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, page, problems } = board
  const mark = page.locator('.sheet .mark')
  for (const [path, heading] of [
    ['/nope', 'Nothing here'],
    ['/logout', 'You are logged out'],
    ['/login/bakery/callback?state=other&code=none', 'This login has run out']
  ] as const) {
    await page.goto(running.appUrl + path)
    t.equal(await page.locator('h1').innerText(), heading)
    t.ok(await mark.isVisible(), path)
  }
  t.strictSame(problems, [])
})

t.test('cancelling an order asks for a recent login, in a popup that closes itself', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, page, problems } = board
  await page.goto(`${running.appUrl}/board`)
  await logIn(page, 'alice', 'croissant')
  const cancel = page.getByRole('button', { name: 'Cancel: 1 Rye bread' })
  const [popup] = await Promise.all([page.waitForEvent('popup'), cancel.click()])
  if (!popup.isClosed()) await popup.waitForEvent('close')
  await cancel.waitFor({ state: 'detached' })
  t.equal(page.url(), `${running.appUrl}/board`)
  await page.locator('#log li').filter({ hasText: '401' }).filter({ hasText: 'more recent login is needed' }).waitFor()
  await page.locator('.elsewhere').waitFor({ state: 'detached' })
  t.strictSame(problems, [])
})

/** Logs alice in without a mouse. */
async function logInByKeyboard (page: Page, appUrl: string): Promise<void> {
  await page.goto(`${appUrl}/board`)
  await page.waitForSelector('#username:focus')
  await page.keyboard.type('alice')
  await page.keyboard.press('Tab')
  await page.keyboard.type('croissant')
  await page.keyboard.press('Enter')
  await page.waitForSelector('.order')
}

/** Waits until screen readers have been told. */
async function told (page: Page, text: string): Promise<void> {
  await page.locator('#announcer p').filter({ hasText: text }).first().waitFor({ state: 'attached' })
}

t.test('the keyboard reaches every control of the board, in order and with a visible focus', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, page } = board
  await logInByKeyboard(page, running.appUrl)
  const reached: string[] = []
  for (;;) {
    await page.keyboard.press('Tab')
    const focused = page.locator(':focus')
    if (await focused.count() === 0) break
    const outline = await focused.evaluate('element => getComputedStyle(element).outlineStyle')
    t.not(outline, 'none')
    reached.push(await focused.getAttribute('aria-label') ?? (await focused.innerText()).trim())
  }
  t.strictSame(reached.slice(0, 5), [
    'Account', 'Log out', 'New order', 'Start baking: 6 Cinnamon roll for Maple Street School',
    'Cancel: 6 Cinnamon roll for Maple Street School'
  ])
  t.strictSame(reached.slice(-4, -2), ['Call now', '20 at once'])
})

t.test('Escape closes the form of a new order, and the focus goes back to what opened it', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, page } = board
  await logInByKeyboard(page, running.appUrl)
  const summary = page.locator('.new-order summary')
  await summary.focus()
  await page.keyboard.press('Enter')
  await page.locator('#customer').focus()
  await page.keyboard.press('Escape')
  await page.waitForSelector('.new-order:not([open]) summary:focus')
  await page.keyboard.press('Space')
  await page.locator('#customer').focus()
  await page.keyboard.type('Zoe')
  await page.keyboard.press('Enter')
  await told(page, '1 Sourdough loaf for Zoe is ordered')
})

t.test('the focus stays with an order that moves, and goes to a neighbour of one that is gone', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, page } = board
  await logInByKeyboard(page, running.appUrl)
  const press = async (name: string) => {
    await page.waitForSelector(`button[aria-label="${name}"]:focus`)
    await page.keyboard.press('Enter')
  }
  await page.getByRole('button', { name: 'Start baking: 1 Rye bread' }).focus()
  await press('Start baking: 1 Rye bread for Mr. Lindqvist')
  await press('Out of the oven: 1 Rye bread for Mr. Lindqvist')
  await press('Hand over: 1 Rye bread for Mr. Lindqvist')
  await told(page, '1 Rye bread for Mr. Lindqvist is collected')
  await press('Hand over: 2 Sourdough loaf for Mrs. Okafor')
  await page.waitForSelector('#column-ready:focus')

  await page.getByRole('button', { name: 'Cancel: 6 Cinnamon roll' }).focus()
  await page.keyboard.press('Enter')
  await told(page, '6 Cinnamon roll for Maple Street School is cancelled')
  await page.waitForSelector('#column-ordered:focus')

  await page.locator('#call-burst').focus()
  await page.keyboard.press('Space')
  await told(page, '20 of 20 calls were answered')
  await page.waitForSelector('#call-burst:focus')
})

t.test('an access token that ends is told to who cannot see the countdown', async (t) => {
  const board = await openBoard(t, 2)
  if (board === undefined) return
  const { running, page } = board
  await logInByKeyboard(page, running.appUrl)
  await told(page, 'The access token is over')
})

t.test('the page on the way to the provider\'s logout, and the provider\'s own, look like the rest', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, page, problems } = board
  await page.goto(`${running.appUrl}/board`)
  await logIn(page, 'alice', 'croissant')
  await page.waitForSelector('.order')
  // A navigation without content leaves the browser where it is.
  const leaving = `${running.providerUrl}/session/end?*`
  await page.route(leaving, route => route.fulfill({ status: 204 }))
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('heading', { name: 'Logging out …' }).waitFor()
  t.ok(await page.locator('.sheet .mark').isVisible())
  await page.unroute(leaving)
  await page.getByRole('link', { name: 'Continue' }).click()
  await page.waitForURL(url => url.pathname === '/')

  await page.goto(`${running.providerUrl}/session/end`)
  await page.getByRole('heading', { name: 'You are logged out' }).waitFor()
  await page.getByRole('link', { name: 'Back to Corner Bakery' }).click()
  await page.waitForURL(url => url.pathname === '/')
  t.strictSame(problems, [])
})

t.test('the account page ends the session of another browser, and adds a second account', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, context, page, problems } = board
  const elsewhere = await (await context.browser()!.newContext()).newPage()
  for (const tab of [page, elsewhere]) {
    await tab.goto(`${running.appUrl}/board`)
    await logIn(tab, 'alice', 'croissant')
    await tab.waitForSelector('.order')
  }
  await page.getByRole('link', { name: 'Account' }).click()
  const rows = page.locator('.rows li')
  t.equal(await rows.count(), 2)
  await page.getByRole('button', { name: /^End the session/ }).click()
  await elsewhere.waitForSelector('#ended:not([hidden])')
  t.equal(await page.locator('.notice:focus').innerText(), 'That session has ended.')
  t.equal(await rows.count(), 1)

  await page.getByRole('link', { name: 'Connect an account' }).click()
  await logIn(page, 'bob', 'baguette')
  await page.getByText('Connected as bob@bakery.example').waitFor()
  t.match(await page.locator('.lead').innerText(), 'Alice', 'the login stays')
  await page.getByRole('button', { name: 'Disconnect' }).click()
  await page.getByText('No account at the mill').waitFor()

  await page.getByRole('button', { name: 'Log out everywhere' }).click()
  await page.getByRole('link', { name: 'Log in' }).waitFor()
  t.strictSame(problems, [])
})

t.test('without scripts the page says so, shows nothing that needs them, and can log out', async (t) => {
  const board = await openBoard(t, 30)
  if (board === undefined) return
  const { running, context } = board
  const page = await (await context.browser()!.newContext({ javaScriptEnabled: false })).newPage()
  await page.goto(`${running.appUrl}/board`)
  await logIn(page, 'bob', 'baguette')
  t.match(await page.locator('noscript .notice').innerText(), 'The board needs JavaScript')
  t.notOk(await page.getByRole('button', { name: 'Call now' }).isVisible())
  t.ok(await page.getByRole('button', { name: 'Log out' }).isVisible())
})
