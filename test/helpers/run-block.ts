import ts from 'typescript'
import { firstMember, isPart, read } from '../types/documents.ts'
import { fencedBlocks } from '../types/markdown.ts'

const lib = new URL('../../lib/', import.meta.url)

/** How a block is run. */
interface RunOptions {
  /** Which block, where the section has several. Default the first. */
  index?: number
  /** Members of modules that the block imports, in place of their own: module → name → value. */
  replace?: Record<string, object>
  /** Puts into words what a comment of the block leaves to its reader. */
  edit?: (code: string) => string
}

/**
 * Runs a code block below a heading of a document, a part of an app: what users read is what the test tries.
 * `docs.test.ts` looks for both names as literals.
 * @param scope what the block takes for granted: `app`, `env`, …
 * @returns the constants of the block, by name; of one that shows members of options alone, these
 */
export async function runBlock (
  path: string, heading: string, scope: Record<string, unknown>, { index = 0, replace = {}, edit }: RunOptions = {}
): Promise<Record<string, any>> {
  const block = fencedBlocks(read(path)).filter(one => isPart(one) && one.heading === heading)[index]
  if (block === undefined) throw new Error(`${path} has no code ${index} below "${heading}"`)
  const text = edit === undefined ? block.code : edited(block.code, edit)
  const isMembers = firstMember(text) !== undefined
  const code = isMembers ? `const members = {\n${text}}\n` : text
  const compilerOptions = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  const { outputText } = ts.transpileModule(code, { compilerOptions })
  const body = outputText
    .replaceAll(/^export \{\};$/gm, '')
    .replaceAll(/^import (\w+)?(?:, )?(\{[^}]*\})? from '([^']+)';?$/gm, (_line, whole, parts, name) => {
      const from = `await load('${name}')`
      const named = parts === undefined ? '' : `const ${parts.replaceAll(' as ', ': ')} = ${from}\n`
      return `${whole === undefined ? '' : `const ${whole} = (${from}).default\n`}${named}`
    })
  const names = [...outputText.matchAll(/^const (?:(\w+)|\{ ([\w, ]+) \}) =/gm)].map(([, one, several]) => one ?? several)
  const AsyncFunction = (async () => {}).constructor as
    new (...args: string[]) => (...values: unknown[]) => Promise<Record<string, unknown>>
  const load = async (name: string) => ({ ...await import(resolved(name)) as object, ...replace[name] })
  const execute = new AsyncFunction('load', ...Object.keys(scope), `${body}\nreturn { ${names.join(', ')} }`)
  const constants = await execute(load, ...Object.values(scope))
  return isMembers ? constants.members as Record<string, any> : constants
}

function edited (code: string, edit: (code: string) => string): string {
  const result = edit(code)
  if (result === code) throw new Error(`nothing to edit in:\n${code}`)
  return result
}

/** The package by its name is what the repository has. */
function resolved (name: string): string {
  const [own, entry] = /^fastify-oauth-session(?:\/(\w+))?$/.exec(name) ?? []
  if (own !== undefined) return new URL(`${entry ?? 'index'}.ts`, lib).href
  return name.startsWith('node:') ? name : import.meta.resolve(name)
}
