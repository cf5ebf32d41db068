import { writeFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { count, passed, table } from './report.ts'
import { torture, type Outcome } from './run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    seconds: { type: 'string', default: '60' },
    workers: { type: 'string', default: '3' },
    sessions: { type: 'string', default: '300' },
    rate: { type: 'string', default: '120' },
    'no-aof': { type: 'boolean', default: false },
    calm: { type: 'boolean', default: false },
    /** Keeps the logs and the evidence of a run that passed, too. */
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false }
  }
})
const number = (name: 'seconds' | 'workers' | 'sessions' | 'rate', min: number) => {
  const value = Number(values[name])
  if (!(value >= min)) throw new Error(`--${name} must be a number of at least ${min}`)
  return value
}

const outcome = await torture({
  seed: values.seed,
  seconds: number('seconds', 1),
  workers: number('workers', 2),
  sessions: number('sessions', 1),
  rate: number('rate', 1),
  aof: !values['no-aof'],
  faults: !values.calm
}, line => { if (!values.json) console.log(line) })
const report = count(outcome)
console.log(values.json ? JSON.stringify({ ...report, passed: passed(report) }) : `\n${table(report)}\n`)
if (passed(report) && !values.keep) {
  await rm(outcome.logs, { recursive: true, force: true })
} else {
  const file = join(outcome.logs, 'evidence.json')
  await writeFile(file, JSON.stringify(evidence(outcome), undefined, 1))
  console.error(`everything that is known of what was lost, found or left is in ${file}; this seed was ${values.seed}`)
}
if (!passed(report)) {
  console.error('FAILED: what must be 0 is not')
  process.exitCode = 1
}

/** All that is known of logins that were lost and of what was found or left behind. */
function evidence ({ ledger, inquest, chaos, leftovers }: Outcome) {
  const lost = ledger.logins.filter(login => login.state === 'lost')
  return {
    lost: lost.map(login => ({ cause: inquest.causeOfLoss(login), login, family: inquest.familyOf(login) })),
    reuses: inquest.reuses.map(reuse => ({
      ...reuse,
      login: ledger.logins.find(({ code }) => code === reuse.family.code)
    })),
    addedLost: ledger.accounts
      .filter(({ state }) => state === 'lost')
      .map(account => ({ cause: inquest.causeOfLoss(account), account, family: inquest.familyOf(account) })),
    findings: ledger.findings,
    leftovers: leftovers.unexplained,
    chaos
  }
}
