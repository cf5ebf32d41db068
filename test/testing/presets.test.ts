import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import oauth from '../../lib/index.ts'
import { loginAs, replaceProvider, type TestProvider } from '../../lib/testing.ts'
import { presetCases, type PresetCase } from '../helpers/preset-cases.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { JsonStore } from '../helpers/stores.ts'

/** What a preset asks an API for because the token answer, one of the RFCs here, does not tell it. */
const FURTHER: Record<string, [url: string, answer: object]> = {
  weibo: ['https://api.weibo.com/2/account/get_uid.json', { uid: '1404376560' }]
}

for (const [name, row] of Object.entries(presetCases)) {
  t.test(`loginAs: ${name}`, async (t) => {
    const { app, userinfoEndpoint, provider } = await start(t, row)
    if (row.authorizationEndpoint === undefined) {
      await t.rejects(loginAs(app), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /grantType: 'password'/ })
      return
    }
    const { sub = row.user?.id, iss: _, ...inIdToken } = row.idToken ?? {}
    const profiles = [row.profile ?? []].flat()
    const atUserinfo = profiles.find(({ url }) => url === userinfoEndpoint)
    for (const { url, answer, status = 200 } of profiles.filter(one => one !== atUserinfo)) {
      provider.api(url.split('?')[0]!, () => Response.json(answer, { status }))
    }
    const further = FURTHER[name]
    if (further !== undefined) provider.api(further[0], () => further[1])

    const login = await loginAs(app, {
      ...(sub !== undefined && { sub: String(sub) }),
      claims: { ...inIdToken, ...(atUserinfo?.answer as object | undefined) }
    })
    const me = async () => await (await login.fetch('/me')).json() as Record<string, unknown>
    const { user, asked, granted, accessToken } = await me()
    t.strictSame(user, row.user)
    t.strictSame(granted, asked)

    provider.advance(2 * 3600)
    t.not((await me()).accessToken, accessToken, 'refreshed')
  })
}

async function start (t: Test, row: PresetCase) {
  const options = row.preset({ clientId: 'Client-Id_1.x', clientSecret: 'secret' })
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: SESSION_SECRET, saveUninitialized: false, store: new JsonStore() })
  await app.register(oauth, { baseUrl: 'https://shop.example', providers: { acme: options } })
  app.get('/me', async ({ oauth }) => {
    const { raw: _, ...user } = oauth.user ?? { raw: undefined }
    return {
      user: oauth.user === null ? null : user,
      // oidc-provider drops `offline_access` without `prompt=consent` (OpenID Connect Core, section 11).
      asked: [options.scope ?? []].flat().join(' ').split(' ').filter(scope => !['', 'offline_access'].includes(scope)),
      granted: oauth.scope.filter(scope => scope !== 'offline_access'),
      accessToken: (await oauth.tokens()).accessToken
    }
  })
  // A function does not tell which issuer it takes: docs/testing.md.
  const issuer = typeof options.idTokenIssuer === 'function' ? { issuer: row.idToken!.iss as string } : {}
  const provider: TestProvider = await replaceProvider(app, issuer)
  return { app, provider, userinfoEndpoint: options.userinfoEndpoint }
}
