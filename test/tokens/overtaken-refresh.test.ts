import t, { type Test } from 'tap'
import type { Answer } from '../../lib/testing/endpoint.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'

// A refresh during which another process writes a newer set: its lease had run out, though it was still at work.

/**
 * An app whose next refresh is overtaken: the set that the provider issues is written as that of another process.
 * @param answer to the app's own refresh, made of the provider's
 */
async function overtakenApp (t: Test, answer: (body: Record<string, unknown>) => Answer) {
  const cluster = await loggedInApp(t, { processes: 1 })
  if (cluster === undefined) return undefined
  const { provider, client, key, expireTokens } = cluster
  await expireTokens()
  const kept = JSON.parse(await client.hGet(key, 'd') ?? '{}')
  provider.failTokenEndpoint(async ({ process }) => {
    const body = (await process()).body as Record<string, unknown>
    const tokens = { ...kept.tokens, accessToken: body.access_token, refreshToken: body.refresh_token }
    tokens.expiresAt = Math.floor(Date.now() / 1000) + 3600
    const newer = { ...kept, version: kept.version + 1, tokens, expiresAt: tokens.expiresAt }
    await client.hDel(key, ['o', 'u'])
    await client.hSet(key, { d: JSON.stringify(newer), v: String(newer.version) })
    return answer(body)
  }, { times: 1 })
  return { ...cluster, overtaking: kept.version + 1 }
}

t.test('a refresh that is refused after another process has refreshed does not end the login', async t => {
  const setup = await overtakenApp(t, () => ({ status: 400, body: { error: 'invalid_grant' } }))
  if (setup === undefined) return
  const { orders, refreshes, tokenRecords, key, expireTokens, overtaking } = setup
  t.equal((await orders()).status, 200, 'with the set of the other process')
  t.equal(refreshes(), 1)
  t.equal((await tokenRecords()).get(key)?.version, overtaking)
  await expireTokens()
  t.equal((await orders()).status, 200, 'and the login goes on')
})

t.test('the set of a refresh that another process has overtaken is dropped, and not revoked', async t => {
  const setup = await overtakenApp(t, body => ({
    status: 200, body: { ...body, access_token: 'of the slower one', refresh_token: 'of the slower one' }
  }))
  if (setup === undefined) return
  const { provider, orders, refreshes, tokenRecords, key, expireTokens, overtaking, apps } = setup
  t.equal((await orders()).status, 200)
  const stored = (await tokenRecords()).get(key)
  t.equal(stored?.version, overtaking)
  t.not(stored?.tokens.refreshToken, 'of the slower one')
  await expireTokens()
  t.equal((await orders()).status, 200)
  t.equal(refreshes(), 2)
  // What is to be revoked has been sent by then.
  await apps[0]!.app.close()
  t.strictSame(provider.endpoints.revocation.requests, [], 'a provider that revokes by grant would end the login')
})
