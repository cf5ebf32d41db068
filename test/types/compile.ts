import { join } from 'node:path'
import ts from 'typescript'

/** What a compiler says of one file; `file` is relative to the folder, and empty where it is about none. */
export interface Problem {
  readonly file: string
  readonly text: string
}

/** Compiles files of a folder as strictly as a user may. */
export function compile (folder: string, names: readonly string[]): { program: ts.Program, problems: Problem[] } {
  const program = ts.createProgram(names.map(name => join(folder, name)), {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    types: ['node'],
    noEmit: true
  })
  const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => ({
    file: file?.fileName.replace(`${folder}/`, '') ?? '',
    text: (file === undefined ? '' : `${file.getLineAndCharacterOfPosition(start ?? 0).line + 1}: `) +
      ts.flattenDiagnosticMessageText(messageText, '\n')
  }))
  return { program, problems }
}

/** A file of ours as an app would have it: its imports from lib are from the package. */
export function asInstalled (code: string): string {
  return code
    .replaceAll("'../../lib/index.ts'", "'fastify-oauth-session'")
    .replaceAll(/'..\/..\/lib\/(\w+)(?:\/index)?.ts'/g, "'fastify-oauth-session/$1'")
}
