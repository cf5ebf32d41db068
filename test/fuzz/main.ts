import { parseArgs } from 'node:util'
import { fuzz } from './fuzz.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '2000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string' }
  }
})
const number = (name: 'runs' | 'seed') => {
  const value = Number(values[name])
  if (!Number.isInteger(value) || value < (name === 'runs' ? 1 : 0)) throw new Error(`--${name} must be a whole number`)
  return value
}

const seed = number('seed')
console.log(`seed ${seed}`)
try {
  for await (const result of fuzz({ runs: number('runs'), seed, only: values.only?.split(',') })) {
    const { name, runs, failure, skipped } = result
    if (failure !== undefined) process.exitCode = 1
    console.log(`${name}: ${skipped ?? `${runs} inputs, ${failure === undefined ? 'all well' : `FAILED\n${failure}`}`}`)
  }
} catch (error) {
  // What is not handled elsewhere counts as a finding, and does not end the process by itself.
  console.error(error)
  process.exitCode = 1
}
