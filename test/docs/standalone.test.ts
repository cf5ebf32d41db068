import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { TokenSet } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { freePort } from '../helpers/listen.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { expireTokens } from '../helpers/records.ts'
import { runBlock } from '../helpers/run-block.ts'
import { programOf } from '../types/documents.ts'
import { installPackage } from '../types/installed-package.ts'
import { startProgram } from '../types/run-app.ts'

// The programs of docs/standalone.md, in processes of their own, and its parts of an app.

const ORDERS = /id: 1[^]*id: 2/

/** Starts a program of the page. */
const start = (t: Test, folder: string, program: string, provider: TestProvider, port = 0) =>
  startProgram(t, folder, program, provider, { PORT: String(port) })

async function outputOf (child: ChildProcess): Promise<{ code: number, output: string }> {
  const [[code], output] = await Promise.all([once(child, 'close'), text(child.stdout!)])
  return { code, output }
}

t.test('a report with the app\'s own tokens', async (t) => {
  const provider = await startProvider(t)
  const folder = await installPackage(t)
  const { code, output } = await outputOf(
    await start(t, folder, programOf('docs/standalone.md', 'report.mjs'), provider))
  t.equal(code, 0)
  t.match(output, ORDERS)
  t.match(provider.tokenRequests.map(({ body }) => body.grant_type), ['client_credentials'])
})

t.test('a command that logs in once, goes on with its tokens, and keeps the refreshed ones', async (t) => {
  const provider = await startProvider(t)
  const folder = await installPackage(t)
  const port = await freePort()
  provider.allowRedirect(`http://localhost:${port}/callback`)
  const program = programOf('docs/standalone.md', 'connect.mjs')
  const kept = join(folder, 'tokens.json')

  const first = await start(t, folder, program, provider, port)
  const ended = once(first, 'close')
  const lines = createInterface(first.stdout!)[Symbol.asyncIterator]()
  const opened = /^Open (http:.+)$/.exec((await lines.next()).value)?.[1] ?? ''
  t.match((await new Browser().login(opened)).text, 'You are logged in')
  let output = ''
  for await (const line of lines) output += line
  t.match(output, ORDERS)
  t.strictSame(await ended, [0, null])
  t.equal((await stat(kept)).mode & 0o077, 0, 'for its owner alone')

  t.match(await outputOf(await start(t, folder, program, provider, port)), { code: 0, output: ORDERS })
  t.equal(provider.refreshRequests.length, 0)

  const tokens = JSON.parse(await readFile(kept, 'utf8')) as { refreshToken: string }
  await writeFile(kept, JSON.stringify({ ...tokens, expiresAt: 1 }))
  t.match(await outputOf(await start(t, folder, program, provider, port)), { code: 0, output: ORDERS })
  t.equal(provider.refreshRequests.length, 1)
  t.not(JSON.parse(await readFile(kept, 'utf8')).refreshToken, tokens.refreshToken, 'the rotated one is kept')
})

t.test('a job shares the record of the web session, and stops when the user has to log in again', async (t) => {
  let kept: TokenSet | undefined
  const { app, provider, store, orders, refreshes, requests } = await loggedInApp(t, {
    oauth: { onTokens: (tokens) => { kept = tokens } }
  })
  const keep = () => { t.fail('the plugin\'s onTokens is told of the sets of a web session') }
  const job = () => runBlock('docs/standalone.md', 'A job that acts for a user', { app, kept, keep })
  await job()
  const first = kept!.accessToken
  matchEach(t, requests, [{ status: 200, authorization: `Bearer ${first}` }])

  expireTokens(store)
  await job()
  t.equal(refreshes(), 1)
  t.not(kept!.accessToken, first)
  t.equal((await orders()).status, 200)
  t.equal(refreshes(), 1, 'the web session has the new set')

  provider.revokeGrants()
  expireTokens(store)
  await t.resolves(job(), 'the end of the login is no error of the job')
  t.equal(refreshes(), 2)
})

t.test('a device is confirmed elsewhere, and a token exchanged for another service', async (t) => {
  const { app, provider, run } = await loggedInApp(t)
  const traded = { access_token: 'of the other', token_type: 'Bearer', issued_token_type: TOKEN_TYPE }
  provider.failTokenEndpoint({ status: 200, body: traded }, { grantType: EXCHANGE }) // oidc-provider has no such grant
  const confirmed: Promise<void>[] = []
  const log = (line: string) => { confirmed.push(confirmDevice(line)) }
  const { device, traded: answer } = await run((_oauth, request) =>
    runBlock('docs/standalone.md', 'Sessions without a request', { app, request, console: { log } }))
  await Promise.all(confirmed)
  t.match(await device.get('me').json(), { sub: 'alice' })
  matchEach(t, provider.endpoints.deviceAuthorization.requests, [{ body: { scope: 'openid offline_access' } }])
  t.equal(answer.accessToken, 'of the other')
  const [exchange] = provider.tokenRequests.filter(({ body }) => body.grant_type === EXCHANGE)
  t.match(exchange!.body, {
    subject_token: await run(async oauth => (await oauth.tokens()).accessToken), audience: 'https://other.example'
  })
})

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

/** Does what the device says, in a browser. */
async function confirmDevice (line: string): Promise<void> {
  const [, url = '', code = ''] = /^Open (\S+) and type (\S+)$/.exec(line) ?? []
  const browser = new Browser()
  let page = await browser.submitForm(await browser.get(url), { user_code: code })
  for (let steps = 0; /<form/.test(page.text) && steps < 4; steps++) {
    page = await browser.submitForm(page, { login: 'alice', password: 'alice-password' })
  }
}
