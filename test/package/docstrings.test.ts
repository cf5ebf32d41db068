import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import reference from '../../typedoc.config.js'
import { repository } from '../types/installed-package.ts'

const lib = join(repository, 'lib/')
/** `npm run docs` takes them from the same place: every module that an app may import. */
const entries = reference.entryPoints.map(file => join(repository, file))
const config: { compilerOptions: object } = ts.readConfigFile(join(repository, 'tsconfig.json'), ts.sys.readFile).config
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, repository)
const program = ts.createProgram(entries, options)
const checker = program.getTypeChecker()

t.test('every export of the package, and every member of one, has its docstring', async (t) => {
  const seen = new Set<string>()
  const missing: string[] = []
  for (const entry of entries) {
    for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
      for (const item of [symbol, ...membersOf(symbol)]) {
        const where = placeOf(item)
        if (where === undefined || seen.has(where)) continue
        seen.add(where)
        if (ts.displayPartsToString(item.getDocumentationComment(checker)).trim() === '') {
          missing.push(`${where} ${item === symbol ? '' : `${symbol.name}.`}${item.name}`)
        }
      }
    }
  }
  t.ok(seen.size > 300, `${seen.size} of them`)
  t.strictSame(missing.sort(), [])
})

/** The members that an instance has, inherited ones included, but for private ones. */
function membersOf (symbol: ts.Symbol): ts.Symbol[] {
  if (!(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias))) return []
  const type = checker.getDeclaredTypeOfSymbol(symbol)
  if (!(type.flags & ts.TypeFlags.Object) || checker.getSignaturesOfType(type, ts.SignatureKind.Call).length > 0) {
    return type.isIntersection() ? type.getProperties() : []
  }
  return type.getProperties().filter(member => !/^#|^__@/.test(member.name))
}

/** File and line of what lib declares; undefined for what it does not. */
function placeOf ({ declarations = [] }: ts.Symbol): string | undefined {
  const node = declarations.find(node => node.getSourceFile().fileName.startsWith(lib))
  if (node === undefined) return undefined
  const source = node.getSourceFile()
  return `lib/${source.fileName.slice(lib.length)}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
}

/** What is called most; each with what it takes and gives. */
const CALLED = ['AppOAuth', 'OAuthSession', 'ProviderHandle', 'RequestOAuth', 'StandaloneProvider']

t.test('each function, and each method of what an app has, says what it takes and returns', async (t) => {
  const index = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entries[0]!)!)!)
    .map(symbol => symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol)
  const functions = index.filter(({ flags }) => flags & ts.SymbolFlags.Function)
  const methods = index.filter(({ name }) => CALLED.includes(name)).flatMap(membersOf)
    .filter(({ flags }) => flags & ts.SymbolFlags.Method)
  t.ok(methods.length > 40, `${methods.length} methods`)
  t.strictSame([...functions, ...methods].flatMap(lackingTags).sort(), [])
})

/** The parameters, and the result, that a docstring says nothing of. */
function lackingTags (symbol: ts.Symbol): string[] {
  const where = placeOf(symbol)
  if (where === undefined) return []
  const tags = symbol.getJsDocTags(checker).map(({ name, text }) => `${name} ${ts.displayPartsToString(text)}`)
  const lacking = new Set<string>()
  for (const signature of checker.getSignaturesOfType(checker.getTypeOfSymbol(symbol), ts.SignatureKind.Call)) {
    for (const { name, valueDeclaration } of signature.parameters) {
      // One that is taken apart has no name of its own.
      const isPattern = valueDeclaration !== undefined && ts.isParameter(valueDeclaration) &&
        ts.isObjectBindingPattern(valueDeclaration.name)
      const written = new RegExp(isPattern ? '^param ' : `^param ${name}\\b`)
      if (!tags.some(tag => written.test(tag))) lacking.add(`@param ${isPattern ? 'options' : name}`)
    }
    const result = checker.typeToString(signature.getReturnType())
    if (!/^(?:Promise<)?void>?$/.test(result) && !tags.some(tag => tag.startsWith('returns '))) lacking.add('@returns')
  }
  return [...lacking].map(tag => `${where} ${symbol.name}: ${tag}`)
}
