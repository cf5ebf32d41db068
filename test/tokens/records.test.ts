import t from 'tap'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { keptTokens, scriptProvider, startScriptServer } from '../helpers/script-server.ts'
import { JsonStore } from '../helpers/stores.ts'

t.test('a refresh token that is not issued anew stays good (RFC 6749, section 6)', async (t) => {
  const server = await startScriptServer(t)
  for (const answered of [{}, { refresh_token: '' }, { refresh_token: null }]) {
    server.tokenRequests.length = 0
    server.answerTokens = () => [200, { access_token: 'new', expires_in: 3600, ...answered }]
    const session = scriptProvider(t, server.providerOptions).session({ tokens: keptTokens(3600) })
    await session.refresh()
    t.equal(session.storedTokens?.refreshToken, 'refresh-0')
    await session.refresh()
    t.strictSame(server.tokenRequests.map(({ form }) => form.refresh_token), ['refresh-0', 'refresh-0'])
  }
})

t.test('a write that waits while the record is deleted does not bring it back', async (t) => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  await store.set('a', { version: 1 }, { ttl: 60 })
  const writes = [store.set('a', { version: 2 }, { ttl: 60 }), store.set('a', { version: 3 }, { ttl: 60 })]
  await store.delete('a')
  const [, written] = await Promise.all(writes)
  t.notOk(written)
  t.equal(await store.get('a'), undefined)
})
