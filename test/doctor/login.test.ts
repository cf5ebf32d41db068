import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { installDoctor } from '../helpers/doctor.ts'
import { listen } from '../helpers/listen.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startProvider } from '../helpers/provider.ts'

const doctorCommand = await installDoctor(t)

const ADDRESS = /\n {2}(http:\/\/[\w.]+:\d+)\/\n/

t.test('a login, userinfo, a refresh and a logout are proven, with progress', async (t) => {
  const provider = await startProvider(t)
  const { issuer, clientId, clientSecret } = provider
  const doctor = doctorCommand.start(
    t,
    ['doctor', issuer, '--login', '--client-id', clientId, '--port', '0', '--host', '127.0.0.1'],
    { CLIENT_SECRET: clientSecret }
  )
  const [, url = ''] = await doctor.heard(ADDRESS)
  const [, redirectUri] = await doctor.heard(/redirect URI +(\S+)\n/)
  t.equal(redirectUri, `${url}/login/acme/callback`)
  const browser = new Browser()
  const page = await browser.login(`${url}/`)
  t.equal(page.url, `${url}/`)
  t.match(page.text, 'Logged in')
  await doctor.heard(/✓ refresh/)
  // Looking again proves nothing again.
  await browser.get(`${url}/`)
  const done = await browser.logout(`${url}/logout`, { form: { returnTo: '/done' } })
  t.equal(done.url, `${url}/done`)
  t.match(done.text, 'Logged out')
  const { code, stdout } = await doctor.ended
  t.equal(code, 0, stdout)
  t.match(stdout, /✓ login: the user has an id, a name and an address that is verified; a Bearer token with 3[56]\d\d seconds/)
  t.match(stdout, /✓ userinfo: the access token is taken/)
  t.match(stdout, /✓ refresh: it brought a new access token, and (?:a|no) new refresh token/)
  t.match(stdout, /✓ logout: the browser is back, and nobody is logged in/)
  t.equal(stdout.match(/✓ refresh/g)?.length, 1)
  t.match(stdout, /All is well\.\n$/)
  t.notMatch(stdout, clientSecret)
  t.notMatch(stdout, /[\w-]{40,}(?!\/)/, 'nothing like a token')
})

t.test('--json: what was proven is in it, and the progress goes to standard error', async (t) => {
  const { issuer, clientId, clientSecret } = await startProvider(t, { refreshTokens: 'never' })
  const doctor = doctorCommand.start(
    t,
    ['doctor', issuer, '--login', '--client-id', clientId, '--port', '0', '--json', '--scope', 'openid email'],
    { CLIENT_SECRET: clientSecret }
  )
  const [, url = ''] = await doctor.heard(ADDRESS)
  t.match(url, /^http:\/\/localhost:/)
  const browser = new Browser()
  await browser.login(`${url}/`)
  await browser.logout(`${url}/logout`, { form: { returnTo: '/done' } })
  const { code, json, stderr } = await doctor.ended
  t.equal(code, 0, stderr)
  t.match(stderr, /✓ login/)
  const { ok, login } = json()
  t.equal(ok, true)
  t.strictSame(
    login.map(({ step, result }: Record<string, string>) => [step, result]),
    [['login', 'ok'], ['userinfo', 'ok'], ['refresh', 'skipped'], ['logout', 'ok']]
  )
  t.match(login[2].message, /offline_access/)
})

t.test('a login that fails says why, and ends with exit code 1', async (t) => {
  const { issuer, clientId } = await startProvider(t)
  const doctor = doctorCommand.start(
    t,
    ['doctor', issuer, '--login', '--client-id', clientId, '--port', '0', '--host', '127.0.0.1'],
    { CLIENT_SECRET: 'not the secret of this client' }
  )
  const [, url = ''] = await doctor.heard(ADDRESS)
  await new Browser().login(`${url}/`)
  const { code, stdout } = await doctor.ended
  t.equal(code, 1)
  t.match(stdout, /✗ login: FST_OAUTH_INVALID_TOKEN_RESPONSE: .*invalid_client.*check clientId, clientSecret/)
  t.match(stdout, /login failed\.\n$/)
  t.notMatch(stdout, 'not the secret')
})

t.test('a login without CLIENT_SECRET is said to be that of a public client', async (t) => {
  const { issuer, clientId } = await startProvider(t)
  const doctor = doctorCommand.start(t, ['doctor', issuer, '--login', '--client-id', clientId, '--port', '0'])
  const [, url = ''] = await doctor.heard(ADDRESS)
  await doctor.heard(/CLIENT_SECRET is not set: this is the login of a public client/)
  await new Browser().login(`${url}/`)
  t.equal((await doctor.ended).code, 1, 'this provider wants the secret')
})

t.test('an ID token that is not right is named', async (t) => {
  const { issuer, providerOptions } = await startMisbehavingProvider(t, { claims: { nonce: 'of another login' } })
  const doctor = doctorCommand.start(
    t,
    ['doctor', issuer, '--login', '--client-id', providerOptions.clientId, '--port', '0', '--host', '127.0.0.1'],
    { CLIENT_SECRET: providerOptions.clientSecret! }
  )
  const [, url = ''] = await doctor.heard(ADDRESS)
  await new Browser().get(`${url}/`)
  const { code, stdout } = await doctor.ended
  t.equal(code, 1)
  t.match(stdout, /✗ login: FST_OAUTH_INVALID_ID_TOKEN: .*nonce/)
})

t.test('nobody comes: it ends by itself', async (t) => {
  const { issuer, clientId, clientSecret } = await startProvider(t)
  const args = ['doctor', issuer, '--login', '--client-id', clientId, '--port', '0', '--timeout', '1']
  const { code, stdout } = await doctorCommand.run(t, args, { CLIENT_SECRET: clientSecret })
  t.equal(code, 1)
  t.match(stdout, /✗ login: nobody logged in within 1 seconds/)
})

t.test('a port that is taken: another one', async (t) => {
  const { issuer, clientId } = await startProvider(t)
  const { port, close } = await listen()
  t.after(close)
  const args = ['doctor', issuer, '--login', '--client-id', clientId, '--port', String(port)]
  const { code, stderr } = await doctorCommand.run(t, args)
  t.equal(code, 2)
  t.match(stderr, `port ${port} is taken; give another one with --port`)
})

t.test('a provider without metadata: there is no login to prove', async (t) => {
  const { port, close } = await listen((_message, response) => response.writeHead(404).end())
  t.after(close)
  const args = ['doctor', `http://127.0.0.1:${port}`, '--login', '--client-id', 'app']
  const { code, stdout } = await doctorCommand.run(t, args)
  t.equal(code, 1)
  t.notMatch(stdout, 'Open this address')
})
