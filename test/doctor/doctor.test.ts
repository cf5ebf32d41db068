import { generateKeyPairSync } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { installDoctor } from '../helpers/doctor.ts'
import { freePort, listen } from '../helpers/listen.ts'
import { startProvider } from '../helpers/provider.ts'
import { repository, run } from '../types/installed-package.ts'

const doctorCommand = await installDoctor(t)

const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
const key = { ...jwk, kid: '1', use: 'sig', alg: 'RS256' }

interface Answers {
  metadata?: Record<string, unknown>
  keys?: unknown
  headers?: Record<string, string>
  /** In place of the answer with the metadata. */
  answer?: (message: IncomingMessage, response: ServerResponse) => void
  /** Default the OpenID Connect document. */
  path?: string
}

/** A provider's public documents, good ones but for what the test says. */
async function documents (t: Test, answers: Answers = {}): Promise<string> {
  const { path = '/.well-known/openid-configuration', headers = {} } = answers
  const { port, close } = await listen((message, response) => {
    const send = (body: unknown, further = {}) => {
      response.writeHead(200, { 'content-type': 'application/json', ...further }).end(JSON.stringify(body))
    }
    if (message.url === '/jwks') return send(answers.keys ?? { keys: [key] })
    if (message.url !== path) return response.writeHead(404).end()
    if (answers.answer !== undefined) return answers.answer(message, response)
    send(metadata, headers)
  })
  t.after(close)
  const issuer = `http://127.0.0.1:${port}`
  const all: Record<string, unknown> = {
    issuer,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/me`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', 'refresh_token'],
    scopes_supported: ['openid', 'email'],
    code_challenge_methods_supported: ['S256'],
    id_token_signing_alg_values_supported: ['RS256'],
    authorization_response_iss_parameter_supported: true,
    ...answers.metadata
  }
  // Null takes a member away.
  const metadata = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null))
  return issuer
}

t.test('a good provider: what it offers, the options to paste, and what to register', async (t) => {
  const { issuer } = await startProvider(t)
  const { code, stdout, stderr } = await doctorCommand.run(t, [
    'doctor', issuer, '--name', 'tea', '--base-url', 'https://tea.example.com/'
  ])
  t.equal(code, 0, stdout + stderr)
  t.equal(stderr, '')
  t.match(stdout, /✓ OpenID Connect: ID tokens +signed with .*RS256/)
  for (const offered of ['PKCE with S256', 'Pushed authorization', 'Tokens bound to a key', 'Logout by the provider']) {
    t.match(stdout, new RegExp(`✓ ${offered}`))
  }
  t.match(stdout, /– Tokens bound to a TLS certificate/)
  t.match(stdout, `issuer: '${issuer}',`)
  t.match(stdout, "clientSecret: process.env.TEA_CLIENT_SECRET ?? '',")
  t.match(stdout, /scope: \['openid', .*'offline_access'\]/)
  t.match(stdout, /redirect URI +https:\/\/tea\.example\.com\/login\/tea\/callback\n/)
  t.match(stdout, /after logout +https:\/\/tea\.example\.com\/logout\/callback\n/)
  t.match(stdout, /logout tokens +https:\/\/tea\.example\.com\/login\/tea\/backchannel-logout\n/)
  t.match(stdout, /All is well\.\n$/)
})

t.test('--json: JSON alone on standard output', async (t) => {
  const { issuer } = await startProvider(t)
  const { code, stderr, json } = await doctorCommand.run(t, ['doctor', issuer, '--json'])
  t.strictSame([code, stderr], [0, ''])
  const report = json()
  t.match(report, {
    ok: true,
    issuer,
    metadataUrl: `${issuer}/.well-known/openid-configuration`,
    redirectUri: 'https://app.example.com/login/acme/callback'
  })
  t.match(report.offers.find(({ id }: { id: string }) => id === 'pkce'), { offered: true })
  t.strictSame(report.findings.filter(({ level }: { level: string }) => level === 'problem'), [])
  t.match(report.options, /import oauth from 'fastify-oauth-session'/)
  const file = join(t.testdir(), 'options.mjs')
  await writeFile(file, report.options)
  t.match(await run(process.execPath, ['--check', file], '.'), { code: 0, stderr: '' }, 'it is JavaScript')
})

t.test('what is odd about a provider', async (t) => {
  const problems: Record<string, Answers> = {
    issuer_mismatch: { metadata: { issuer: 'https://other.example' } },
    issuer_missing: { metadata: { issuer: null } },
    no_s256: { metadata: { code_challenge_methods_supported: ['plain'] } },
    no_code: { metadata: { response_types_supported: ['token'] } },
    endpoint_missing: { metadata: { token_endpoint: null } },
    endpoint_http: { metadata: { token_endpoint: 'http://id.example.com/token' } },
    endpoint_url: { metadata: { userinfo_endpoint: 'nowhere' } },
    jwks_missing: { metadata: { jwks_uri: null } },
    jwks: { keys: 'none' },
    jwks_empty: { keys: { keys: [] } },
    jwks_kid: { keys: { keys: [key, { ...key, kid: undefined }] } },
    jwks_private: { keys: { keys: [{ ...key, d: 'AQAB' }] } },
    jwks_weak: { keys: { keys: [{ ...key, n: 'AQAB' }] } },
    algorithms: { metadata: { id_token_signing_alg_values_supported: ['HS256'] } },
    client_authentication: { metadata: { token_endpoint_auth_methods_supported: ['magic'] } },
    clock_skew: { headers: { date: new Date(Date.now() + 600_000).toUTCString() } },
    no_metadata: { answer: (_message, response) => response.writeHead(302, { location: '/elsewhere' }).end() }
  }
  for (const [id, answers] of Object.entries(problems)) {
    t.test(id, async (t) => {
      const issuer = await documents(t, answers)
      const { code, stderr, json } = await doctorCommand.run(t, ['doctor', issuer, '--json'])
      t.strictSame([code, stderr], [1, ''])
      const { ok, findings } = json()
      t.equal(ok, false)
      t.ok(findings.some((found: any) => found.id === id && found.level === 'problem'), JSON.stringify(findings))
    })
  }

  const notes: Record<string, Answers> = {
    http: {},
    content_type: { headers: { 'content-type': 'text/html' } },
    oauth_metadata: { path: '/.well-known/oauth-authorization-server' },
    other_hosts: { metadata: { token_endpoint: 'https://tokens.example.com/token' } },
    pkce_unsaid: { metadata: { code_challenge_methods_supported: null } },
    no_refresh: { metadata: { grant_types_supported: ['authorization_code'] } },
    no_iss: { metadata: { authorization_response_iss_parameter_supported: null } },
    alg_none: { metadata: { id_token_signing_alg_values_supported: ['RS256', 'none'] } },
    signed_requests: { metadata: { require_signed_request_object: true } },
    jwks_kind: { metadata: { id_token_signing_alg_values_supported: ['ES256'] } }
  }
  for (const [id, answers] of Object.entries(notes)) {
    t.test(`${id}: worth knowing, and no problem`, async (t) => {
      const issuer = await documents(t, answers)
      const { code, json } = await doctorCommand.run(t, ['doctor', issuer, '--json'])
      const { ok, findings } = json()
      t.strictSame([code, ok], [0, true], JSON.stringify(findings))
      t.ok(findings.some((found: any) => found.id === id && found.level === 'note'), JSON.stringify(findings))
    })
  }
})

t.test('an issuer of another name: both are said', async (t) => {
  const issuer = await documents(t, { metadata: { issuer: 'https://other.example' } })
  const { code, stdout } = await doctorCommand.run(t, ['doctor', issuer])
  t.equal(code, 1)
  t.match(stdout, `is of issuer "https://other.example", and "${issuer}" was asked for`)
  t.match(stdout, "write issuer: 'https://other.example' if you mean that one")
  t.match(stdout, /1 problem\.\n$/)
})

t.test("a provider's text does not steer the terminal", async (t) => {
  const issuer = await documents(t, { metadata: { issuer: 'https://other.example/\u001b[2J\u0007' } })
  const { stdout } = await doctorCommand.run(t, ['doctor', issuer])
  t.match(stdout, 'https://other.example/?[2J?')
  t.notMatch(stdout, /(?!\n)\p{Cc}/u)
})

t.test('a provider that cannot be reached', async (t) => {
  const port = await freePort()
  const { code, stdout } = await doctorCommand.run(t, ['doctor', `http://127.0.0.1:${port}`])
  t.equal(code, 1)
  t.match(stdout, /no metadata was found; .*ECONNREFUSED/)
  t.notMatch(stdout, 'Options to paste', 'with that issuer they would not work')
})

t.test('the address of the metadata stands for its issuer: consoles of providers show that one', async (t) => {
  const issuer = await documents(t)
  const { code, json } = await doctorCommand.run(t, ['doctor', `${issuer}/.well-known/openid-configuration`, '--json'])
  t.equal(code, 0)
  t.match(json(), { issuer, title: issuer, metadataUrl: `${issuer}/.well-known/openid-configuration` })
})

t.test('a preset: what it sets, and what to paste', async (t) => {
  const { code, stdout, stderr } = await doctorCommand.run(t, ['doctor', 'github', '--option', 'scope=read:user'])
  t.strictSame([code, stderr], [0, ''])
  t.match(stdout, 'authorization endpoint: https://github.com/login/oauth/authorize')
  t.match(stdout, 'client authentication: client_secret_post')
  t.match(stdout, "import { github } from 'fastify-oauth-session/providers'")
  t.match(stdout, /github: github\(\{\n +clientId: process\.env\.GITHUB_CLIENT_ID \?\? '',\n/)
  t.match(stdout, /scope: 'read:user'\n/)
  t.match(stdout, 'https://app.example.com/login/github/callback')
})

t.test('a preset with an issuer gets the same look', async (t) => {
  const issuer = await documents(t)
  const { code, json } = await doctorCommand.run(t, ['doctor', 'gitlab', '--option', `baseUrl=${issuer}`, '--json'])
  const report = json()
  t.equal(code, 0)
  t.match(report, { preset: 'gitlab', issuer, metadataUrl: `${issuer}/.well-known/openid-configuration` })
  t.ok(report.offers.length > 10)
})

t.test('what is not understood: exit code 2, and what to do', async (t) => {
  const wrong: Record<string, string[]> = {
    'the command is missing; write fastify-oauth-session doctor ISSUER_OR_PRESET': [],
    'there is no command "heal"; write fastify-oauth-session doctor': ['heal'],
    'the issuer or the preset is missing': ['doctor'],
    'there is no preset "githb"; did you mean github?': ['doctor', 'githb'],
    'is it an issuer? Write it with https://': ['doctor', 'id.example.com'],
    "Unknown option '--nosuch'": ['doctor', 'github', '--nosuch'],
    'okta() needs `domain`; give it with --option domain=': ['doctor', 'okta'],
    'keycloak() needs `baseUrl`; give it with --option baseUrl=': ['doctor', 'keycloak', '--option', 'realm=r'],
    '--login needs --client-id': ['doctor', 'github', '--login'],
    'set the variable CLIENT_SECRET': ['doctor', 'github', '--client-secret', 'hush'],
    'clientSecret: a secret does not belong on a command line': ['doctor', 'github', '--option', 'clientSecret=x'],
    '--option scope: write it as name=value': ['doctor', 'github', '--option', 'scope'],
    '--port is a whole number': ['doctor', 'github', '--port', 'http'],
    '--host is localhost or 127.0.0.1': ['doctor', 'github', '--host', 'example.com'],
    '--base-url is no URL': ['doctor', 'github', '--base-url', 'app.example.com'],
    'is one word too many': ['doctor', 'github', 'gitlab']
  }
  for (const [message, args] of Object.entries(wrong)) {
    const { code, stdout, stderr } = await doctorCommand.run(t, args)
    t.strictSame([code, stdout], [2, ''], message)
    t.ok(stderr.includes(message), stderr)
    t.notMatch(stderr, /\n {4}at |hush/, 'no stack, no secret')
  }
})

t.test('--help and --version', async (t) => {
  const help = await doctorCommand.run(t, ['--help'])
  t.equal(help.code, 0)
  for (const part of ['Usage:', '--login', 'CLIENT_SECRET', 'Exit codes: 0 all is well, 1 problems were found, 2']) {
    t.ok(help.stdout.includes(part), part)
  }
  const version = await doctorCommand.run(t, ['--version'])
  t.equal(version.code, 0)
  t.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
})

t.test('docs/doctor.md has every finding and every option', async (t) => {
  const page = await readFile(join(repository, 'docs/doctor.md'), 'utf8')
  const folder = join(repository, 'lib/doctor')
  const sources = await Promise.all((await readdir(folder)).map(file => readFile(join(folder, file), 'utf8')))
  const ids = sources.flatMap(source => [...source.matchAll(/\b(?:note|problem)\('(\w+)'/g)].map(([, id]) => id!))
  t.ok(ids.length > 20)
  t.strictSame(ids.filter(id => !page.includes(`\`${id}\``)), [])
  const { stdout } = await doctorCommand.run(t, ['--help'])
  const options = [...stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map(([, option]) => option!)
  t.ok(options.length > 10)
  t.strictSame(options.filter(option => !page.includes(`\`${option}`)), [])
})
