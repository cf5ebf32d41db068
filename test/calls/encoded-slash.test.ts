import t from 'tap'
import { resolveResourceUrl } from '../../lib/calls/resource-url.ts'
import { resolveOptions } from '../../lib/options/resolve-options.ts'
import { gitlab } from '../../lib/providers.ts'
import type { ProviderOptions } from '../../lib/providers/options.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { rejection } from '../helpers/rejection.ts'

function configOf (acme: Partial<ProviderOptions>) {
  const provider = { issuer: 'https://id.example', clientId: 'app', ...acme }
  const { providers } = resolveOptions(
    { baseUrl: 'https://app.example', providers: { acme: provider } },
    { hasSession: true, scopePrefix: '' }
  )
  return providers.get('acme')!
}

const acme = configOf({
  resourceServers: [
    { url: 'https://git.example/api/v4', encodedSlashes: true },
    'https://plain.example/v1/',
    { url: 'https://plain.example/v1/files', encodedSlashes: true },
    { url: 'https://off.example/', encodedSlashes: false }
  ]
})
const resolve = (input: string | URL) => {
  const { origin, path } = resolveResourceUrl(input, acme)
  return origin + path
}
const refusal = async (input: string | URL) => await rejection((async () => resolve(input))())

for (const path of [
  'projects/group%2Fproject',
  'projects/group%2fsub%2Fproject/issues?a=%2F..%2f',
  'projects/a%2Fb/repository/files/lib%2Fx%2Ey',
  'projects/a%2F.hidden',
  'projects/a%2F...',
  'projects/50%25%2Foff',
  'npm/@scope%2fname'
]) {
  t.test(`${path} goes through as it is written, where the entry asks for it`, async (t) => {
    t.equal(resolve(path), `https://git.example/api/v4/${path}`)
    t.equal(resolve(`https://git.example/api/v4/${path}`), `https://git.example/api/v4/${path}`)
    t.equal(resolve(new URL(`https://git.example/api/v4/${path}`)), `https://git.example/api/v4/${path}`)
    t.equal(resolve(`https://plain.example/v1/files/${path}`), `https://plain.example/v1/files/${path}`)
  })
}

for (const path of [
  '..%2fadmin', 'x%2f..', 'x%2F..%2Fadmin', '%2e%2e%2fadmin', 'x%2F%2e%2e%2Fadmin', 'x%2f.%2e', 'x%2F..;a%2fb',
  'x%2f.', '.%2Fx', 'x%2f%252e%252e', 'x%2f..%2f..%2f..%2fadmin', 'https:..%2fadmin', 'x%5cy', 'x%2Fy%5Cz',
  'x%252fy', 'x%2Fy%252Fz', 'x%255cy', 'x%25252fy', '%2fadmin', '%2F%2Fevil.example', 'x%2F%2Fy', 'x%2F/y',
  'x/%2Fy', 'x%2F', 'x%2F?a=1', '../x%2Fy', 'x\\%2Fy', 'x%2Fy\n'
]) {
  t.test(`${JSON.stringify(path)} stays refused where encoded slashes are asked for`, async (t) => {
    t.match(await refusal(path), { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED', reason: 'suspicious_url' })
  })
}

for (const url of [
  'https://git.example/api%2Fv4/projects',
  'https://git.example/api%2fv4%2fprojects/a',
  'https://git.example/api/v4%2fprojects/a%2Fb',
  'https://git.example/api/v40/a%2Fb',
  'https://git.example/a%2Fb',
  'https://plain.example/v1/projects/a%2Fb',
  'https://plain.example/v1%2Ffiles/a',
  'https://plain.example/v1/files%2Fa',
  'https://off.example/a%2Fb',
  'https://evil.example/api/v4/a%2Fb'
]) {
  t.test(`${url} gets no token: the part that an entry is compared with holds no encoded slash`, async (t) => {
    t.match(await refusal(url), { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED' })
    t.match(await refusal(new URL(url)), { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED' })
  })
}

t.test('where no entry asks for encoded slashes, the error says how to', async t => {
  const { message } = await rejection(
    (async () => resolveResourceUrl('a%2Fb', configOf({ resourceServers: ['https://api.example/'] })))()
  )
  t.match(message, 'encodedSlashes: true')
})

t.test('the GitLab preset takes the path of a project as its id', async (t) => {
  const config = configOf(gitlab({ clientId: 'app', clientSecret: 'secret', baseUrl: 'https://git.example/gitlab' }))
  t.equal(
    resolveResourceUrl('projects/group%2Fproject', config).path,
    '/gitlab/api/v4/projects/group%2Fproject'
  )
})

const mistakes: [unknown, string][] = [
  ['https://api.example/', 'acme.resourceServers must be a list'],
  [[{ encodedSlashes: true }], 'acme.resourceServers[0].url is missing; it must be a string'],
  [
    [{ url: 'https://api.example/', encodedSlashes: 'yes' }],
    'acme.resourceServers[0].encodedSlashes must be a boolean, not string'
  ],
  [[{ url: 'https://api.example/', encodedslashes: true }], 'acme.resourceServers[0].encodedslashes is no option'],
  [['https://api.example/', { url: 'nowhere' }], 'acme.resourceServers[1].url must be an absolute http(s) URL'],
  [[{ url: 'http://api.example/' }], 'acme.resourceServers[0].url is plain http'],
  [[{ url: 'https://api.example/?a' }], 'acme.resourceServers[0] must be origin and path alone'],
  [[undefined], 'acme.resourceServers[0] is undefined: an environment variable that is not set?'],
  [[new URL('https://api.example/')], 'acme.resourceServers[0] must be a URL as a string, or { url, encodedSlashes }'],
  [[['https://api.example/']], 'acme.resourceServers[0] must be a URL as a string, or { url, encodedSlashes }'],
  [[null], 'acme.resourceServers[0] must be a URL as a string, or { url, encodedSlashes }']
]
for (const [resourceServers, problem] of mistakes) {
  t.test(`a mistake in resourceServers is named at start: ${problem}`, async t => {
    const { message, code } = await rejection(
      (async () => configOf({ resourceServers: resourceServers as string[] }))()
    )
    t.equal(code, 'FST_OAUTH_INVALID_OPTIONS')
    t.match(message, problem)
  })
}

t.test('through an app', async (t) => {
  const { run, requests, provider } = await loggedInApp(t, {
    provider: ({ providerOptions: { resourceServers } }) => ({
      resourceServers: [{ url: resourceServers![0] as string, encodedSlashes: true }]
    })
  })
  await t.test('every way to call sends it as it is written', async (t) => {
    requests.length = 0
    await run(oauth => oauth.get('echo/a%2Fb').json())
    await run(oauth => oauth.post('echo/a%2Fb?c=d%2Fe', { json: 1 }))
    await run(async oauth => (await oauth.fetch('echo/a%2Fb')).text())
    await run(async oauth => (await oauth.fetch(new Request(`${provider.api.url}echo/a%2Fb`))).text())
    t.strictSame(
      requests.map(({ url }) => url),
      ['/v1/echo/a%2Fb', '/v1/echo/a%2Fb?c=d%2Fe', '/v1/echo/a%2Fb', '/v1/echo/a%2Fb']
    )
    t.strictSame(requests.filter(({ authorization }) => authorization === undefined), [])
  })

  await t.test('a redirect, which the server writes, takes no token there', async (t) => {
    requests.length = 0
    await (await run(oauth => oauth.fetch('redirect?to=/v1/echo/a%252Fb'))).text()
    matchEach(t, requests, [{ authorization: String }, { url: '/v1/echo/a%2Fb', authorization: undefined }])
  })
})
