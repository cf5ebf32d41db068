import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { callbackUrl, loginApp } from '../helpers/login-app.ts'
import { repository } from '../types/installed-package.ts'

// Lessons of the field that no other file is about.

t.test('popup: no page but that of a popup posts a message to the window that opened it', async t => {
  const { browser, url, provider } = await loginApp(t, {
    providers: ({ providerOptions }) => ({
      acme: providerOptions,
      relayed: { ...providerOptions, grantType: 'implicit' as const }
    })
  })
  const pages = {
    chooser: await browser.get(`${url}/login`),
    error: await browser.get(`${url}/login/acme/callback?code=c&state=s`),
    relay: await browser.get(`${url}/login/relayed/callback`),
    logout: await browser.login(`${url}/login/acme`).then(() => browser.get(`${url}/logout`))
  }
  t.equal(provider.asked('token').length, 1)
  for (const [name, { text, headers }] of Object.entries(pages)) {
    t.match(headers['content-type'], /^text\/html/, `${name} is a page`)
    t.notMatch(text, /postMessage|opener|BroadcastChannel|parent\./, name)
  }
  t.match(pages.relay.text, /<script nonce=/, 'the one page with a script is among them')
})

t.test('an unverified e-mail is not an identity', async t => {
  const claims = { email: 'alice@example.com', email_verified: false }
  const { app, browser, url, provider, userOf } = await loginApp(t, {
    wrong: { claims },
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  const alice = browser
  await alice.login(`${url}/login/acme`)
  provider.wrong = { claims: { ...claims, sub: 'mallory' } }
  const mallory = new Browser()
  await mallory.login(`${url}/login/acme`)
  t.equal(await userOf(alice), 'alice')
  t.equal(await userOf(mallory), 'mallory', 'another subject is another user, whatever address it claims')
  await app.oauth.logoutUser({ provider: 'acme', subject: 'mallory' })
  t.strictSame([await userOf(alice), await userOf(mallory)], ['alice', null])
  // In the session of the one, a login of the other takes nothing over.
  const session = alice.cookie('sessionId')
  t.equal((await alice.get(await callbackUrl(alice, `${url}/login/acme`))).status, 200)
  t.equal(await userOf(alice), 'mallory')
  t.not(alice.cookie('sessionId'), session)
})

t.test('undici 7.29.0 at least: by the range in package.json, and as it is installed', async t => {
  const atLeast = (version: string, ...wanted: number[]) => {
    const [major = 0, minor = 0] = version.split('.').map(Number)
    return major > wanted[0]! || (major === wanted[0] && minor >= wanted[1]!)
  }
  const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'))
  const range: string = read(join(repository, 'package.json')).dependencies.undici
  t.match(range, /^\^\d+\.\d+\.\d+$/)
  t.ok(atLeast(range.slice(1), 7, 29), range)
  const { version } = read(createRequire(import.meta.url).resolve('undici/package.json'))
  t.ok(atLeast(version, 7, 29), version)
})
