import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { transform } from 'esbuild'
import type { Mutant } from './mutants.ts'

export interface LocatedMutant extends Mutant {
  /** Path below the repository. */
  file: string
  pattern: RegExp
}

/** Finds the file of each mutant's text, which must stand in lib/ exactly once, and its tests. */
export async function locateMutants (
  repository: string, mutants: readonly Mutant[]
): Promise<{ located: LocatedMutant[], problems: string[] }> {
  const names = (await readdir(join(repository, 'lib'), { recursive: true })).filter(name => name.endsWith('.ts'))
  const sources = await Promise.all(names.map(async (name) => {
    const file = join('lib', name)
    return { file, text: await readFile(join(repository, file), 'utf8') }
  }))
  const located: LocatedMutant[] = []
  const problems: string[] = []
  for (const mutant of mutants) {
    const { protects, find, replace, tests } = mutant
    // White space at its ends stays in lib/: without the end of a line, two statements would be none.
    const pattern = new RegExp(find.trim().split(/\s+/).map(escape).join('\\s+'), 'g')
    const places = sources.flatMap(({ file, text }) => [...text.matchAll(pattern)].map(() => ({ file, text })))
    const [place] = places
    if (places.length === 1) {
      located.push({ ...mutant, file: place!.file, pattern })
      const changed = place!.text.replace(pattern, () => replace)
      const isCode = await transform(changed, { loader: 'ts', logLevel: 'silent' }).then(() => true, () => false)
      if (!isCode) problems.push(`"${protects}": what it leaves is no TypeScript, which any test would notice`)
    } else problems.push(`"${protects}": in lib ${places.length} times, not once: ${JSON.stringify(find)}`)
    if (find === replace) problems.push(`"${protects}" changes nothing`)
    for (const test of tests) {
      const isThere = await access(join(repository, test)).then(() => true, () => false)
      if (!isThere) problems.push(`"${protects}": there is no ${test}`)
    }
  }
  return { located, problems }
}

const escape = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
