import { TOMBSTONE_MS } from '../../lib/tokens/stores/token-store.ts'
import type { Leftovers } from './audit.ts'
import { CAUSES, type Cause } from './causes.ts'
import type { Outcome } from './run.ts'

/** A run in figures. */
export interface Report {
  logins: {
    started: number
    completed: number
    loggedOut: number
    lost: number
    lostBy: Record<string, number>
    namedLost: number
    failedBy: Record<string, number>
  }
  calls: { made: number, answered: number, failedBy: Record<string, number> }
  refreshes: number
  reuses: { seen: number, by: Record<string, number> }
  /** What must not be, and was brought about by a Redis that forgot what it had acknowledged. */
  forgotten: Record<string, number>
  /** All of them must be 0. */
  mustBeZero: Record<string, number>
  faults: {
    kills: number
    deployments: number
    pauses: number
    redisOutages: number
    providerOutages: number
    answersLost: number
  }
  ghostsAsked: number
  replays: number
  /** Of the provider, and those that came while a login was under way. */
  logoutTokens: { carriedOut: number, races: number }
  /** Of tokens that are bound to a key: logins, proofs, and nonces that were asked for on the way. */
  bound: { logins: number, proofs: number, noncesAsked: number }
  /** What gave a login another session. */
  renewals: { links: number, stepUps: number, disconnects: number }
  addedLost: Record<string, number>
  leftInRedis: Omit<Leftovers, 'unexplained'>
  memory: { at: number, logins: number, heapMB: number, rssMB: number }[]
}

export function count ({ options, ledger, inquest, provider, chaos, leftovers, memory }: Outcome): Report {
  const lost = ledger.logins.filter(({ state }) => state === 'lost')
  const lostBy = tally(lost.map(login => inquest.causeOfLoss(login)))
  const addedLost = tally(
    ledger.accounts.filter(({ state }) => state === 'lost').map(account => inquest.causeOfLoss(account))
  )
  const reusedBy = tally(inquest.reuses.map(({ cause }) => cause))
  const made = [...ledger.calls.values()].reduce((sum, calls) => sum + calls, 0)
  const answered = ledger.calls.get('200') ?? 0
  const failedBy = Object.fromEntries(
    [...ledger.calls].filter(([code]) => code !== '200').sort(([, a], [, b]) => b - a)
  )
  const presentations = provider.families.flatMap(family => family.presentations)
  const unexplained: Cause = 'UNEXPLAINED'
  const forgotten = ledger.findings.filter(({ since, at }) => inquest.forgotten(since, at))
  const found = tally(ledger.findings.filter(finding => !forgotten.includes(finding)).map(({ what }) => what))
  const zero = [
    'resurrected', 'callback taken twice', 'answer of another user', 'answer of another login',
    'answer of another account', 'step-up undone', 'disconnect undone', 'false 401', 'session cookie cleared',
    'session cookie replaced', 'logout token taken twice', 'session of an ended sid', 'logout impossible',
    'no clear answer', 'failed call after all faults'
  ]
  return {
    logins: {
      started: ledger.loginsStarted,
      completed: ledger.logins.length,
      loggedOut: ledger.logouts,
      lost: lost.length,
      lostBy,
      namedLost: lost.filter(({ lostCode }) => lostCode?.includes('REFRESH_LOST')).length,
      failedBy: Object.fromEntries(ledger.loginFailures)
    },
    calls: { made, answered, failedBy },
    refreshes: presentations.filter(({ outcome }) => outcome === 'rotated').length,
    reuses: { seen: inquest.reuses.length, by: reusedBy },
    forgotten: {
      ...tally(forgotten.map(({ what }) => what)),
      // A pending login that was taken comes back, too.
      ...(!options.aof && provider.codesReused > 0 && { 'authorization codes used again': provider.codesReused })
    },
    mustBeZero: {
      'logins lost, unexplained': lostBy[unexplained] ?? 0,
      'added accounts lost, unexplained': addedLost[unexplained] ?? 0,
      'refresh tokens used again, unexplained': reusedBy[unexplained] ?? 0,
      'authorization codes used again': options.aof ? provider.codesReused : 0,
      'refresh tokens made up': provider.unknownTokens,
      'bound tokens without a good proof': provider.wrongProofs.length,
      ...Object.fromEntries(zero.map(what => [what, found[what] ?? 0])),
      'left in Redis, unexplained': leftovers.unexplained.length
    },
    faults: {
      kills: chaos.lives.filter(({ end }) => end === 'SIGKILL').length,
      deployments: chaos.lives.filter(({ end }) => end === 'SIGTERM').length,
      pauses: chaos.lives.reduce((sum, { pauses }) => sum + pauses.length, 0),
      redisOutages: chaos.redis.length,
      providerOutages: chaos.provider.length,
      answersLost: presentations.filter(
        ({ outcome, answeredAt, fault }) => outcome === 'rotated' && (answeredAt === undefined || fault === 'gateway')
      ).length
    },
    ghostsAsked: ledger.ghostsAsked,
    replays: ledger.replays,
    logoutTokens: { carriedOut: ledger.logoutTokens, races: ledger.races },
    bound: {
      logins: provider.families.filter(({ jkt }) => jkt !== undefined).length,
      proofs: provider.proofs,
      noncesAsked: provider.noncesAsked
    },
    renewals: { links: ledger.links, stepUps: ledger.stepUps, disconnects: ledger.disconnects },
    addedLost,
    leftInRedis: (({ unexplained: _, ...rest }) => rest)(leftovers),
    memory: memory.map(({ at, logins, heapUsed, rss }) => ({
      at: Math.round(at),
      logins,
      heapMB: mb(heapUsed),
      rssMB: mb(rss)
    }))
  }
}

const mb = (bytes: number) => Math.round(bytes / 1024 / 1024 * 10) / 10

function tally (names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** Whether everything is 0 that must be. */
export const passed = ({ mustBeZero }: Report): boolean => Object.values(mustBeZero).every(figure => figure === 0)

/** The report as a table for a person. */
export function table (report: Report): string {
  const { logins, calls, reuses, faults, memory, mustBeZero, leftInRedis } = report
  const lines: string[] = []
  const row = (name: string, value: string | number) => {
    lines.push(`${name.padEnd(72, ' .')} ${String(value).padStart(8)}`)
  }
  const by = (figures: Record<string, number>) => {
    for (const [name, figure] of Object.entries(figures)) row(`    ${name}`, figure)
  }
  const causes = (figures: Record<string, number>) =>
    Object.fromEntries(CAUSES.map(cause => [cause, figures[cause] ?? 0]))

  row('logins started', logins.started)
  row('logins completed', logins.completed)
  by(logins.failedBy)
  row('logouts', logins.loggedOut)
  row('logins lost', logins.lost)
  by(causes(logins.lostBy))
  row('  of these told apart as FST_OAUTH_REFRESH_LOST', logins.namedLost)
  by({
    'accounts added': report.renewals.links,
    'step-ups': report.renewals.stepUps,
    'accounts disconnected': report.renewals.disconnects
  })
  row('added accounts lost', Object.values(report.addedLost).reduce((sum, lost) => sum + lost, 0))
  by(report.addedLost)
  row('calls made', calls.made)
  row('calls answered', calls.answered)
  by(calls.failedBy)
  row('refreshes', report.refreshes)
  row('refresh tokens used again, as the provider saw it', reuses.seen)
  by(causes(reuses.by))
  lines.push('')
  by({
    'workers killed': faults.kills,
    'workers replaced in good order': faults.deployments,
    'workers paused': faults.pauses,
    'times that Redis was away': faults.redisOutages,
    'times that the provider was away': faults.providerOutages,
    'token answers that never arrived': faults.answersLost,
    'sessions that had ended, asked': report.ghostsAsked,
    'callbacks replayed': report.replays,
    'logout tokens carried out': report.logoutTokens.carriedOut,
    '  of these while a login was under way': report.logoutTokens.races,
    'logins whose tokens are bound to a key': report.bound.logins,
    'proofs taken': report.bound.proofs,
    'nonces asked for': report.bound.noncesAsked
  })
  lines.push('', 'left in Redis after all visitors were logged out')
  by({
    'logins whose cookie never reached the browser': leftInRedis.unreachable,
    'entries in lists of logins, until their time is over': leftInRedis.dangling,
    [`tombstones (${TOMBSTONE_MS / 60_000} minutes)`]: leftInRedis.tombstones,
    "marks of ended sessions (their session's time)": leftInRedis.endedMarks,
    'marks of logouts by the provider (15 minutes)': leftInRedis.logoutMarks,
    'pending logins (10 minutes)': leftInRedis.pendingLogins
  })
  lines.push('', 'memory of the worker that lived through all of it, after a collection')
  for (const { at, logins, heapMB, rssMB } of memory) {
    row(`    after ${at} s and ${logins} logins`, `${heapMB} MB heap, ${rssMB} MB in all`)
  }
  if (Object.keys(report.forgotten).length > 0) lines.push('', 'because Redis forgot what it had acknowledged')
  by(report.forgotten)
  lines.push('', 'must be 0')
  by(mustBeZero)
  return lines.join('\n')
}
