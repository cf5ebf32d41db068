/** What a session with its tokens takes in memory: heap before and after many real logins. */
import type { Bench } from '../bench.ts'
import { FASTIFY_OAUTH2, FLOOR, THIS_PROJECT, type Contestant } from '../contestants.ts'
import type { MeasureResult, Row } from '../results.ts'

const PEER = '@fastify/oauth2, tokens in the session'
const AT_MOST = 0.65

const ROWS: Array<{ title: string, contestant: Contestant }> = [
  { title: PEER, contestant: FASTIFY_OAUTH2 },
  { title: 'hand-written, tokens in a Map', contestant: FLOOR },
  { title: 'fastify-oauth-session', contestant: THIS_PROJECT }
]

export async function bytes (bench: Bench): Promise<MeasureResult> {
  const count = bench.options.quick ? 600 : 10_000
  const rows: Row[] = []
  let base: number | undefined
  for (const { title, contestant } of ROWS) {
    try {
      const each = Math.round(await bytesOf(bench, contestant, count))
      base ??= each
      const row: Row = { title, values: { 'bytes a session': each, x: each / base } }
      if (contestant === THIS_PROJECT) {
        row.targets = [{ against: PEER, atMost: AT_MOST, ratio: each / base, met: each / base <= AT_MOST }]
      }
      rows.push(row)
    } catch (error) {
      rows.push({ title, values: {}, failure: (error as Error).message })
    }
  }
  const title = `Heap of a stored session in memory, token set of about 2.5 KB, ${count.toLocaleString('en')} logins`
  return { name: 'bytes', title, rows }
}

async function bytesOf (bench: Bench, contestant: Contestant, count: number): Promise<number> {
  const app = await bench.startApp(contestant, {}, ['--expose-gc'])
  const logInMany = async (many: number) => {
    const { failed, firstFailure } = await bench.logInMany({
      origin: app.origin,
      path: contestant.login ?? '',
      count: many,
      atOnce: 16,
      // What a stored session keeps of its last request counts, and with it that request's connection.
      ownConnections: true
    })
    if (failed > 0) throw new Error(`a login failed: ${firstFailure}`)
  }
  try {
    await bench.logIn(contestant, app, 2)
    // Compiled code and connections are there before the first reading.
    await logInMany(300)
    const before = await app.peer.call<number>('memory')
    await logInMany(count)
    return (await app.peer.call<number>('memory') - before) / count
  } finally {
    bench.endApp(app)
  }
}
