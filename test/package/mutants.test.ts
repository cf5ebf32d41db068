import { fileURLToPath } from 'node:url'
import t from 'tap'
import { locateMutants } from '../mutation/locate.ts'
import { mutants } from '../mutation/mutants.ts'

// Where lib changes a line that a mutant takes out, the mutant has to change with it.

t.test('each mutant\'s text stands in lib once, and its tests are there', async (t) => {
  const repository = fileURLToPath(new URL('../../', import.meta.url))
  t.strictSame((await locateMutants(repository, mutants)).problems, [])
})
