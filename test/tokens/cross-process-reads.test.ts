import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { startProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { startTokenProcess, tokenSet } from '../helpers/token-process.ts'

// When one process sees what another has done: with its next incoming request, or within a second in a long one.

const LATER = 4_000_000_000

async function start (t: Test) {
  const redis = await startRedis(t)
  if (redis === undefined) return undefined
  const provider = await startProvider(t)
  const process = async () => {
    const connection = await createClient({ url: redis.url }).connect()
    t.after(() => connection.destroy())
    return startTokenProcess(t, redisStore(connection), provider)
  }
  const [here, there] = [await process(), await process()]
  const id = await here.records.create({
    version: 1,
    provider: 'acme',
    providerIdentity: here.client.config.identity,
    tokens: tokenSet('first', LATER),
    obtainedAt: 0,
    ttl: 3600,
    user: null
  })
  const refreshThere = async () => {
    const record = await there.records.read(id)
    t.equal(
      await there.records.update(id, { ...record!, version: record!.version + 1, tokens: tokenSet('second', LATER) }),
      true
    )
  }
  return { here, there, id, refreshThere }
}

const token = async (source: { current(): unknown }) =>
  ((await source.current()) as { tokens: { refreshToken: string } }).tokens.refreshToken

t.test('a set that another process obtained is used by the next request at once', async (t) => {
  const setup = await start(t)
  if (setup === undefined) return
  const { here, id, refreshThere } = setup
  t.equal(await token(here.source(id)), 'first')
  await refreshThere()
  t.equal(await token(here.source(id)), 'second')
})

t.test('a refresh of another process is seen by a long request after a second', async (t) => {
  const setup = await start(t)
  if (setup === undefined) return
  const { here, id, refreshThere } = setup
  const long = here.source(id)
  t.equal(await token(long), 'first')
  await refreshThere()
  here.pass(1_001)
  t.equal(await token(long), 'second')
})

t.test('a logout of another process is seen by the next request at once', async (t) => {
  const setup = await start(t)
  if (setup === undefined) return
  const { here, there, id } = setup
  t.equal(await token(here.source(id)), 'first')
  await there.records.remove(id)
  await t.rejects(token(here.source(id)), { code: 'FST_OAUTH_LOGIN_ENDED' })
})

t.test('a logout of another process is seen by a long request after a second', async (t) => {
  const setup = await start(t)
  if (setup === undefined) return
  const { here, there, id } = setup
  const long = here.source(id)
  t.equal(await token(long), 'first')
  await there.records.remove(id)
  here.pass(1_001)
  await t.rejects(token(long), { code: 'FST_OAUTH_LOGIN_ENDED' })
})

t.test('a refresh and a logout of the same process are seen by every request at once, long ones too', async (t) => {
  const setup = await start(t)
  if (setup === undefined) return
  const { here, id } = setup
  const long = here.source(id)
  t.equal(await token(long), 'first')
  const record = await here.records.read(id)
  await here.records.update(id, { ...record!, version: 2, tokens: tokenSet('second', LATER) })
  t.equal(await token(long), 'second')
  await here.records.remove(id)
  await t.rejects(token(long), { code: 'FST_OAUTH_LOGIN_ENDED' })
})
