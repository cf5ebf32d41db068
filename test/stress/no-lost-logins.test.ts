import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { requireService } from '../helpers/services.ts'
import type { Report } from './report.ts'

const torture = dirname(fileURLToPath(import.meta.url))

/**
 * Runs a program of Node's without what tap's own loader adds to it, and returns what it printed, whatever its exit
 * code.
 */
function run (file: string, args: string[]): Promise<{ stdout: string, stderr: string }> {
  const { NODE_OPTIONS: _loader, ...env } = process.env
  return new Promise(resolve => {
    execFile(process.execPath, [file, ...args], { env, maxBuffer: 16 * 1024 * 1024 }, (_error, stdout, stderr) =>
      resolve({ stdout, stderr })
    )
  })
}

// `npm run torture` is the same for longer, with more sessions and any seed.
t.test(
  'three processes that are killed, paused and replaced on a Redis that comes and goes lose no login without a cause',
  async t => {
    if (!requireService(t, 'redis-server')) return
    // Of its own: a run by hand may be under way.
    const compiled = join(torture, 'dist', `test-${process.pid}`)
    t.after(() => rm(compiled, { recursive: true, force: true }))
    const built = await run(fileURLToPath(import.meta.resolve('typescript/bin/tsc')), [
      '-p', torture, '--outDir', compiled
    ])
    t.equal(built.stdout, '', 'compiled')

    const { stdout, stderr } = await run(join(compiled, 'test', 'stress', 'main.js'), [
      '--json', '--seed', '1', '--seconds', '8', '--sessions', '80', '--rate', '70'
    ])
    t.match(stdout, /^\{/, `a report: ${stderr}`)
    const report = JSON.parse(stdout) as Report
    for (const [figure, value] of Object.entries(report.mustBeZero)) {
      t.equal(value, 0, `${figure} ${value === 0 ? '' : stderr}`)
    }

    // All of it is worth nothing where nothing happened.
    const { logins, calls, refreshes, faults, ghostsAsked, renewals, logoutTokens, bound } = report
    t.ok(logins.completed >= 80, `${logins.completed} logins`)
    t.ok(calls.answered >= 50, `${calls.answered} calls answered`)
    t.ok(refreshes >= 50, `${refreshes} refreshes`)
    t.ok(faults.kills >= 1, `${faults.kills} workers killed`)
    t.ok(faults.pauses >= 1, `${faults.pauses} workers paused`)
    t.ok(faults.redisOutages >= 1, `${faults.redisOutages} times that Redis was away`)
    t.ok(renewals.links >= 1, `${renewals.links} accounts added`)
    t.ok(renewals.stepUps >= 1, `${renewals.stepUps} step-ups`)
    t.ok(ghostsAsked >= 1, `${ghostsAsked} ended sessions asked`)
    t.ok(logoutTokens.carriedOut >= 1, `${logoutTokens.carriedOut} logout tokens carried out`)
    t.ok(bound.logins >= 20, `${bound.logins} logins whose tokens are bound to a key`)
    t.ok(bound.noncesAsked >= 5, `${bound.noncesAsked} nonces asked for`)
  })
