import t from 'tap'
import { fuzz } from './fuzz.ts'

const RUNS = 2000
const seed = Number(process.env.FUZZ_SEED ?? 22)

// `npm run fuzz -- --runs 100000 --seed N` has more.
for await (const { name, runs, failure, skipped } of fuzz({ runs: RUNS, seed })) {
  t.test(`hostile ${name}: no inner message, no crash, no way off the site, no secret told`, async (t) => {
    if (skipped !== undefined) {
      if (process.env.REQUIRE_SERVICES === '1') throw new Error(skipped)
      t.pass(`NOT TESTED: ${skipped}`, { skip: skipped })
      return
    }
    t.equal(failure, undefined, `${runs} inputs`)
  })
}
