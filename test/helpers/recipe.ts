import type { FastifyInstance } from 'fastify'
import ts from 'typescript'
import { read } from '../types/documents.ts'
import { fencedBlocks } from '../types/markdown.ts'

const lib = new URL('../../lib/', import.meta.url)

/** What the code of a recipe takes for granted. */
interface Scope extends Record<string, unknown> {
  app: FastifyInstance
  /** Variables of the environment. */
  env: Record<string, string>
}

/**
 * Runs the code block below a heading of a document, a part of an app, in an app that is there: what users read is what
 * the test tries.
 * @param index of the block, where the section has several
 */
export async function runRecipe (path: string, heading: string, scope: Scope, index = 0): Promise<void> {
  const [, section = ''] = read(path).split(`\n## ${heading}\n`)
  const [text = ''] = section.split(/^#+ /m)
  const block = fencedBlocks(text).filter(({ language }) => language === 'ts')[index]
  if (block === undefined) throw new Error(`${path} has no code below "${heading}"`)
  const options = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  const { outputText } = ts.transpileModule(block.code, { compilerOptions: options })
  const body = outputText
    .replaceAll(/^export \{\};$/gm, '')
    .replaceAll(/^import (\w+)?(?:, )?(\{[^}]*\})? from '([^']+)';?$/gm, (_line, whole, parts, name) => {
      const from = `await load('${name}')`
      const named = parts === undefined ? '' : `const ${parts.replaceAll(' as ', ': ')} = ${from}\n`
      return `${whole === undefined ? '' : `const ${whole} = (${from}).default\n`}${named}`
    })
  const AsyncFunction = run.constructor as new (...args: string[]) => (...values: unknown[]) => Promise<void>
  const load = async (name: string) => await import(resolved(name))
  await new AsyncFunction('load', ...Object.keys(scope), body)(load, ...Object.values(scope))
}

async function run () {}

/** The package by its name is what the repository has. */
function resolved (name: string): string {
  const [own, entry] = /^fastify-oauth-session(?:\/(\w+))?$/.exec(name) ?? []
  if (own !== undefined) return new URL(`${entry ?? 'index'}.ts`, lib).href
  return name.startsWith('node:') ? name : import.meta.resolve(name)
}
