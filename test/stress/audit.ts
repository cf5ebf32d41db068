import { createClient } from 'redis'
import type { Crowd } from './crowd.ts'
import type { ChaosJournal, Login } from './journal.ts'
import type { Ledger } from './ledger.ts'
import type { Inquest } from './causes.ts'
import { overlaps } from './journal.ts'
import { Visitor, type VisitorOptions } from './visitor.ts'

/** Asks of a time, so that hundreds of sessions do not come at one moment. */
const AT_ONCE = 16

async function each<T> (items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const left = [...items]
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item)
  }))
}

/** Calls once with each session that should be logged in, and with each that should not. */
export async function askAll (ledger: Ledger, options: Omit<VisitorOptions, 'subject'>): Promise<void> {
  const asker = new Visitor({ ...options, subject: '' })
  await each(
    ledger.logins.filter(({ state }) => state === 'in'),
    async login => {
      const answer = await asker.ask(login)
      if (answer.status === 200) return ledger.checkAnswer(login, answer)
      const settled = answer.status === 401 ? await asker.settled(login) : 'unclear'
      if (settled === 'out') return asker.lose(login, answer)
      if (settled === 'in') {
        return ledger.report('false 401', login, { code: answer.code, worker: answer.worker, end: true })
      }
      // No fault is at work now: a login has either ended or works.
      ledger.report('failed call after all faults', login, { code: answer.code, worker: answer.worker })
      if ((await asker.settled(login)) === 'out') asker.lose(login, answer)
    }
  )
  await each(
    ledger.logins.filter(({ state, added }) => state === 'in' && added?.state === 'in'),
    login => asker.callAdded(login)
  )
  await each(ledger.logins, async login => {
    const { state, cookie, formerCookies } = login
    for (const ghost of state === 'out' ? [cookie, ...formerCookies] : formerCookies) await asker.askGhost(login, ghost)
  })
}

/** Logs every visitor out, those too whose session only an overwritten cookie named. */
export async function logoutAll (
  crowd: Crowd, ledger: Ledger, options: Omit<VisitorOptions, 'subject'>
): Promise<void> {
  await each(
    ledger.logins.filter(({ state }) => state === 'in' || state === 'abandoned' || state === 'leaving'),
    async login => {
      const visitor = new Visitor({ ...options, subject: login.subject })
      login.state = 'in'
      visitor.current = login
      visitor.jar.store(new URL(options.baseUrl), [`sessionId=${login.cookie}; Path=/`])
      await visitor.logout()
    }
  )
}

export interface Leftovers {
  /** Token records and sessions whose cookie no browser has: their callback's answer never arrived. */
  unreachable: number
  /** Entries that point to nothing, in lists of users' logins and in states of logins; they end with their time. */
  dangling: number
  tombstones: number
  endedMarks: number
  logoutMarks: number
  pendingLogins: number
  unexplained: Record<string, unknown>[]
}

/** Looks at what stands in Redis after all visitors have been logged out. */
export async function findLeftovers (
  redisUrl: string,
  ledger: Ledger,
  inquest: Inquest,
  chaos: ChaosJournal
): Promise<Leftovers> {
  const client = createClient({ url: redisUrl })
  await client.connect()
  const found: Leftovers = {
    unreachable: 0,
    dangling: 0,
    tombstones: 0,
    endedMarks: 0,
    logoutMarks: 0,
    pendingLogins: 0,
    unexplained: []
  }
  const logins = new Map(
    ledger.logins.flatMap(login => {
      return [login.code, ...login.addedCodes, ...login.formerCodes.map(({ code }) => code)].map(
        code => [code, login] as const
      )
    })
  )
  const codes = new Map<string, string>()
  /** Token records of a session at the provider that has ended. */
  const ended = new Map<string, { family: string, endedAt: number }>()
  const blame = (key: string, code: string | undefined, details: Record<string, unknown>) => {
    const login = code === undefined ? undefined : logins.get(code)
    if (code !== undefined && isUnreachable(login, code, chaos)) found.unreachable++
    else if (inquest.forgotten(login?.at ?? 0, Date.now())) found.unreachable++
    else found.unexplained.push({ key, login, ...details })
  }
  try {
    const keys = await client.keys('oauth:*')
    for (const key of keys) {
      // A user's logins, one field each.
      if (key.startsWith('oauth:logins:')) {
        found.dangling += await client.hLen(key)
        continue
      }
      const { x, d } = await client.hGetAll(key)
      if (d === undefined) found.tombstones += x === undefined ? 0 : 1
      else if (key.startsWith('oauth:login:')) found.pendingLogins++
      else if (key.startsWith('oauth:dead:')) found.endedMarks++
      // What providers have ended, and the logout tokens that said so.
      else if (/^oauth:(?:ended|logout):/.test(key)) found.logoutMarks++
      // What a login was; it holds no token.
      else if (key.startsWith('oauth:accounts:')) continue
      else {
        const { tokens } = JSON.parse(d) as { tokens: { refreshToken: string } }
        const family = tokens.refreshToken.split('.')[1]
        const code = inquest.codeOf(family ?? '')
        if (code !== undefined) codes.set(key.slice('oauth:'.length), code)
        const endedAt = ledger.endedSids.get(family ?? '')
        if (endedAt !== undefined) ended.set(key.slice('oauth:'.length), { family: family!, endedAt })
        blame(key, code, { family })
      }
    }
    for (const key of await client.keys('session:*')) {
      const { oauth } = JSON.parse((await client.get(key)) ?? '{}') as {
        oauth?: { accounts: Record<string, { recordId: string }> }
      }
      const record = oauth?.accounts.acme?.recordId
      if (record === undefined) continue
      const { family, endedAt: at } = ended.get(record) ?? {}
      if (family !== undefined) ledger.report('session of an ended sid', { subject: '', at: at! }, { key, family })
      // The sessions of logins that ended elsewhere stay until they are used next, and are logged out then.
      if (await client.hExists(`oauth:${record}`, 'd') === 0) continue
      blame(key, codes.get(record), { record })
    }
    return found
  } finally {
    client.destroy()
  }
}

function isUnreachable (login: Login | undefined, code: string, chaos: ChaosJournal): boolean {
  // The callback's answer never arrived, so no browser has the cookie.
  if (login === undefined || login.state === 'abandoned') return true
  // Other tokens took their place, and the store went away before they could be deleted: they are left to their time.
  const former = login.formerCodes.find(candidate => candidate.code === code)
  if (
    former !== undefined &&
    chaos.redis.some(outage =>
      overlaps({ from: outage.from, to: outage.to + 1_000 }, { from: former.until - 6_000, to: former.until })
    )
  ) { return true }
  // The session ended, and the store went away before its tokens could follow: they are left to their time.
  const destroyed = login.how?.includes('/destroy') === true
  if (destroyed && login.how?.includes('no answer') === true) return true // killed between the two
  const ended = destroyed || login.how?.startsWith('replaced') === true || login.state === 'lost'
  return ended && chaos.redis.some(outage => overlaps({ from: outage.from, to: outage.to + 1_000 }, {
    from: login.leavingAt ?? login.lostAt ?? 0,
    to: Math.max(login.endedAt ?? 0, login.settledAt ?? 0)
  }))
}
