import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from './installed-package.ts'
import { fencedBlocks, type FencedBlock } from './markdown.ts'

/** Folders that hold documents of others, or none. */
const FOREIGN = new Set(['node_modules', 'dist', '.git', '.tap', 'screenshots', 'results'])

/** The text of a file of the repository. */
export function read (path: string): string {
  return readFileSync(join(repository, path), 'utf8')
}

/** Paths of all Markdown documents of the repository. */
export function documentPaths (folder = ''): string[] {
  return readdirSync(join(repository, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return FOREIGN.has(entry.name) ? [] : documentPaths(path)
    return entry.name.endsWith('.md') ? [path] : []
  }).sort()
}

/** A code block of a document for its readers. */
export interface DocumentBlock extends FencedBlock {
  readonly path: string
  /** Why nothing checks it: `<!-- not run: reason -->` on the line before. */
  readonly notRun: string | undefined
}

/** The code blocks of the README and of all pages below docs/. */
export function documentBlocks (): DocumentBlock[] {
  return documentPaths().filter(path => path === 'README.md' || path.startsWith('docs/')).flatMap((path) => {
    const lines = read(path).split('\n')
    return fencedBlocks(lines.join('\n')).map((block) => ({
      ...block,
      path,
      notRun: /^<!-- not run: (.+) -->$/.exec(lines[block.line - 2] ?? '')?.[1]
    }))
  })
}

/**
 * The program that a document has under a file name: ```` ```js app.mjs ````.
 * Each program is run by a test that asks for it here, with both names as literals; `docs.test.ts` looks for that.
 */
export function programOf (path: string, file: string): string {
  const found = fencedBlocks(read(path)).filter(block => block.file === file)
  if (found.length !== 1) throw new Error(`${path} has ${found.length} programs ${file}`)
  return found[0]!.code
}

/** A part of an app in a document: its code is no whole program. */
export function isPart ({ language, file }: FencedBlock): boolean {
  return /^[jt]s$/.test(language) && file === undefined
}

/** The first word of a block that shows members of options alone: `acme: { … }`, `async onLogin (…) { … }`. */
export function firstMember (code: string): string | undefined {
  return /^(?:async )?(\w+)(?:: | \()/.exec(code)?.[1]
}
