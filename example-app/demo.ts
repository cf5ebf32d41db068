// `npm start -- --demo`: a user's visit, in the terminal. Each step is checked; a failed check ends the demo.
import { setTimeout as sleep } from 'node:timers/promises'
import { accounts } from './accounts.ts'
import { createBrowser, findForm, type Page } from './demo-browser.ts'
import type { LoggedEvent } from './event-log.ts'
import type { Order } from './orders.ts'
import { start, type Running } from './start.ts'

interface Orders { orders: Order[], seen: { user: string, token: string } }

const accessTokenTtl = 3
const { username, password } = accounts[0]!

/** @throws Error that names the step that failed */
export async function runDemo (print: (line: string) => void): Promise<void> {
  print(`Corner Bakery, in the terminal: access tokens live for ${accessTokenTtl} seconds, refresh tokens work once.\n`)
  const board = await start({ accessTokenTtl, logger: false })
  let step = 0
  const tell = (name: string, what: string) => print(`${++step} ${name.padEnd(8)} ${what}`)
  try {
    await visit(board, tell)
  } catch (error) {
    throw new Error(`${step + 1} failed   ${error instanceof Error ? error.message : error}`, { cause: error })
  } finally {
    await board.close()
  }
  print('\nAll steps passed.')
}

async function visit (board: Running, tell: (name: string, what: string) => void): Promise<void> {
  const browser = createBrowser()
  const callOrders = () => browser.call<Orders>(`${board.appUrl}/api/orders`, { 'x-board-of': username })
  const latest = (kind: LoggedEvent['kind']) =>
    board.events.recent(username).findLast(event => event.kind === kind)?.token

  const loginPage = await browser.open(`${board.appUrl}/board`)
  check(loginPage.url.startsWith(board.providerUrl), 'the board did not lead to the provider')
  const boardPage = await submit(browser, loginPage, { username, password })
  const isBack = boardPage.url === `${board.appUrl}/board` && boardPage.status === 200
  check(isBack, `the login did not come back to the board, but to ${boardPage.status} ${boardPage.url}`)
  check(boardPage.body.includes(accounts[0]!.claims.name), 'the board does not say who is logged in')
  tell('login', `${username} typed the password at the provider and came back to the board`)

  const first = await callOrders()
  const { user, token } = first.body.seen
  check(first.status === 200, `the API call answered ${first.status}`)
  check(user === username, `the API took the user for ${user}`)
  tell('call', `the API knows ${username} by token ${token} and sends ${first.body.orders.length} orders`)

  const waited = await expiry(latest('login')?.expiresAt)
  const requestsBefore = board.tokenRequests
  tell('expiry', `waited ${waited} s: token ${token} has expired`)

  const second = await callOrders()
  check(second.status === 200, `the call after the expiry answered ${second.status}`)
  check(second.body.seen.user === username, `the API took the user for ${second.body.seen.user}`)
  check(second.body.seen.token !== token, 'the call went out with the expired token')
  const requests = board.tokenRequests - requestsBefore
  check(requests === 1, `the refresh took ${requests} token requests`)
  const refreshed = latest('refresh')
  check(refreshed?.fingerprint === second.body.seen.token, 'onTokens was not called for the refresh')
  check(refreshed.rotated, 'the refresh token was not rotated')
  tell('refresh', 'the access token had expired; refreshed without code in the handler (refresh token rotated: yes)')
  tell('call', `the API knows ${username} by token ${second.body.seen.token}`)

  await expiry(refreshed.expiresAt)
  const requestsBeforeBurst = board.tokenRequests
  const burst = await Promise.all(Array.from({ length: 20 }, callOrders))
  const statuses = burst.map(({ status }) => status)
  check(statuses.every(status => status === 200), `of 20 calls at once some answered ${statuses}`)
  const isFresh = ({ seen }: Orders) => seen.user === username && seen.token !== second.body.seen.token
  check(burst.every(({ body }) => isFresh(body)), 'a call went out with the expired token')
  const burstRequests = board.tokenRequests - requestsBeforeBurst
  check(burstRequests === 1, `20 calls at once took ${burstRequests} token requests`)
  tell('burst', `expired again; 20 calls at once, all answered, with one refresh (token ${burst[0]!.body.seen.token})`)

  const leaving = await submit(browser, await browser.open(`${board.appUrl}/board`), {})
  const isAtProvider = leaving.url.startsWith(board.providerUrl)
  check(isAtProvider, `the logout did not lead to the provider, but to ${leaving.status} ${leaving.url}`)
  const left = await submit(browser, leaving, { logout: 'yes' })
  const isHome = left.url.startsWith(board.appUrl) && left.status === 200
  check(isHome, `the logout did not come back, but to ${left.status} ${left.url}`)
  const after = await callOrders()
  check(after.status === 401, `a call after the logout answered ${after.status}`)
  const again = await browser.open(`${board.appUrl}/board`)
  const asksAgain = again.url.startsWith(board.providerUrl) && again.body.includes('type="password"')
  check(asksAgain, 'the provider did not ask for the password again')
  tell('logout', 'here and at the provider; a call now answers 401, and the board asks for the password again')
}

function submit (browser: ReturnType<typeof createBrowser>, page: Page, fields: Record<string, string>): Promise<Page> {
  const form = findForm(page)
  if (!form) throw new Error(`there is no form on ${page.url} (${page.status})`)
  return browser.submit(form.action, { ...form.fields, ...fields })
}

/** Waits until the token has expired at the API too; `expiresAt` is in epoch seconds. Returns the seconds it took. */
async function expiry (expiresAt: number | undefined): Promise<string> {
  check(expiresAt, 'the token has no known expiry')
  const left = Math.max(0, (expiresAt + 1) * 1000 + 50 - Date.now())
  await sleep(left)
  return (left / 1000).toFixed(1)
}

function check (holds: unknown, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise)
}
