import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { locateMutants, type LocatedMutant } from './locate.ts'
import { mutants } from './mutants.ts'

// Takes protections out of lib/, one at a time, each in a copy of the tree, and runs the tests that should fail then. A
// survivor is a protection that can be lost unnoticed. `npm run mutation -- [--check] [--jobs 2] [word …]` takes the
// mutants whose text has one of the words; with --check it only looks whether the mutants fit lib/.

const repository = fileURLToPath(new URL('../../../', import.meta.url))
/** Left out of a copy; `node_modules` is linked. */
const NOT_COPIED = new Set(['node_modules', '.git', 'dist', '.tap'])
/** Milliseconds for one test file: a mutant may well make a test wait for ever. */
const TIMEOUT_MS = 180_000

type Outcome = 'killed' | 'survived' | 'harmless' | 'no longer harmless'

interface TestRun {
  passed: boolean
  skipped: boolean
  output: string
}

async function main (): Promise<number> {
  const { check, jobs, words } = readArguments(process.argv.slice(2))
  const wanted = mutants.filter(
    ({ protects, find }) => words.length === 0 || words.some(word => `${protects} ${find}`.includes(word))
  )
  const { located, problems } = await locateMutants(repository, wanted)
  if (problems.length > 0) return refuse(problems)
  if (check) return 0
  const places = await Promise.all(Array.from({ length: jobs }, async () => await copyTree()))
  try {
    const failing = await baseline(places, located)
    if (failing.length > 0) return refuse(failing)
    const outcomes: Outcome[] = []
    await share(places, located, async (place, mutant) => {
      const { outcome, by } = await tryMutant(place, mutant)
      outcomes.push(outcome)
      console.log(`${outcome.padEnd(9)} ${mutant.file}: ${mutant.protects}${by === undefined ? '' : ` (${by})`}`)
    })
    const count = (outcome: Outcome) => outcomes.filter(item => item === outcome).length
    const bad = count('survived') + count('no longer harmless')
    const counts = (['killed', 'harmless', 'survived'] as const).map(outcome => `${count(outcome)} ${outcome}`)
    console.log(`\n${located.length} mutants: ${counts.join(', ')}`)
    if (count('no longer harmless') > 0) {
      console.log(`${count('no longer harmless')} no longer harmless: take the word out`)
    }
    return bad === 0 ? 0 : 1
  } finally {
    await Promise.all(places.map(async place => await rm(place, { recursive: true, force: true })))
  }
}

function refuse (problems: readonly string[]): number {
  console.error(`The table does not fit the tree:\n${problems.map(problem => `- ${problem}`).join('\n')}`)
  return 1
}

function readArguments (argv: string[]): { check: boolean, jobs: number, words: string[] } {
  const given = argv.filter(argument => argument !== '--check')
  const at = given.indexOf('--jobs')
  const jobs = at < 0 ? 2 : Number(given[at + 1])
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error('--jobs takes a number of at least 1')
  return { check: argv.includes('--check'), jobs, words: at < 0 ? given : given.toSpliced(at, 2) }
}

async function copyTree (): Promise<string> {
  const place = await mkdtemp(join(tmpdir(), 'fastify-oauth-session-mutation-'))
  await mkdir(place, { recursive: true })
  await cp(repository, place, {
    recursive: true,
    filter: source => !relative(repository, source).split('/').some(part => NOT_COPIED.has(part))
  })
  await symlink(join(repository, 'node_modules'), join(place, 'node_modules'), 'dir')
  return place
}

/** A test that fails by itself, or is skipped, notices nothing. */
async function baseline (places: readonly string[], located: readonly LocatedMutant[]): Promise<string[]> {
  const problems: string[] = []
  const files = [...new Set(located.flatMap(({ tests }) => tests))]
  await share(places, files, async (place, file) => {
    const { passed, skipped, output } = await runTest(place, file)
    if (!passed) problems.push(`${file} fails without any mutant: ${firstFailure(output)}`)
    if (skipped) console.warn(`${file} skips tests here (no Redis?): mutants may survive for that reason alone`)
  })
  return problems
}

async function tryMutant (place: string, mutant: LocatedMutant): Promise<{ outcome: Outcome, by?: string }> {
  const path = join(place, mutant.file)
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace(mutant.pattern, () => mutant.replace))
  try {
    for (const file of mutant.tests) {
      const { passed, output } = await runTest(place, file)
      if (!passed) {
        return {
          outcome: mutant.harmless === undefined ? 'killed' : 'no longer harmless',
          by: `${file}: ${firstFailure(output)}`
        }
      }
    }
  } finally {
    await writeFile(path, text)
  }
  return mutant.harmless === undefined
    ? { outcome: 'survived', by: mutant.tests.join(', ') }
    : { outcome: 'harmless', by: mutant.harmless }
}

function runTest (place: string, file: string): Promise<TestRun> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--import=@tapjs/typescript/import', file], {
      cwd: place,
      // A group of its own: what a test that hangs leaves behind is ended with it, and signals nothing else.
      detached: true,
      env: { ...process.env, TS_NODE_TRANSPILE_ONLY: '1', TAP_BAIL: '1', TAP_TIMEOUT: String(TIMEOUT_MS * 2 / 1000) },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    const note = (chunk: Buffer) => { output = (output + chunk.toString()).slice(-200_000) }
    child.stdout.on('data', note)
    child.stderr.on('data', note)
    const endGroup = () => {
      try {
        process.kill(-child.pid!, 'SIGKILL')
      } catch {
        // nothing of it is left
      }
    }
    const timer = setTimeout(() => {
      note(Buffer.from('\nnot ok - nothing came to an end in time\n'))
      endGroup()
    }, TIMEOUT_MS)
    child.on('exit', endGroup) // a test that bails out leaves its servers behind
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ passed: code === 0, skipped: /# SKIP/.test(output), output })
    })
  })
}

function firstFailure (output: string): string {
  return /^ *not ok (?:\d+ )?- (.*)$/m.exec(output)?.[1] ?? output.trim().split('\n').at(-1) ?? 'no output'
}

/** Does one job after another in each place. */
async function share<T> (
  places: readonly string[],
  jobs: readonly T[],
  work: (place: string, job: T) => Promise<void>
): Promise<void> {
  const left = [...jobs]
  await Promise.all(places.map(async (place) => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) await work(place, job)
  }))
}

process.exitCode = await main()
