import { readFileSync } from 'node:fs'
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
  const functions = exportsOf(...entries).filter(isFunction)
  const methods = exportsOf(entries[0]!).filter(({ name }) => CALLED.includes(name)).flatMap(membersOf).filter(isMethod)
  t.ok(functions.length > 30, `${functions.length} functions`)
  t.ok(methods.length > 40, `${methods.length} methods`)
  t.strictSame([...functions, ...methods].flatMap(lackingTags).sort(), [])
})

t.test('presets, stores, and what tests call say what they throw', async (t) => {
  const functions = exportsOf(...entries.filter(entry => entry !== entries[0])).filter(isFunction)
  t.ok(functions.length > 30, `${functions.length} functions`)
  const silent = functions.filter(symbol => !symbol.getJsDocTags(checker).some(({ name }) => name === 'throws'))
  t.strictSame(silent.map(symbol => `${placeOf(symbol)} ${symbol.name}`), [])
})

/** Methods of `CALLED` that throw nothing of their own. */
const NEVER = ['ProviderHandle.clientCredentials', 'ProviderHandle.jwks', 'StandaloneProvider.close']

t.test('each method of what an app has, and of a call, says with which codes it fails', async (t) => {
  const exported = exportsOf(entries[0]!)
  const codes = new Set(/const STATUSES = \{([^}]*)/.exec(readFileSync(join(lib, 'errors.ts'), 'utf8'))![1]!.match(/FST_\w+/g))
  const failing: string[] = []
  for (const owner of exported.filter(({ name }) => [...CALLED, 'OAuthCall', 'DeviceLogin'].includes(name))) {
    const methods = membersOf(owner).filter(member => isMethod(member) && placeOf(member) !== undefined)
    const throwsOf = new Map(methods.map(method => [method.name, thrownBy(method)]))
    for (const { name } of methods) {
      const text = throwsOf.get(name)!
      const named = text.match(/FST_\w+/g) ?? []
      const passedOn = [...text.matchAll(/what `(\w+)` throws/g)].map(([, other = '']) => throwsOf.get(other) ?? '')
      const isSaid = named.length > 0 || passedOn.some(other => other.includes('FST_'))
      if (!isSaid && !isNever(name)) failing.push(`${owner.name}.${name}: no code`)
      failing.push(...named.filter(code => !codes.has(code)).map(code => `${owner.name}.${name}: ${code}`))
    }
  }
  t.strictSame(failing, [])
})

const isNever = (name: string) => NEVER.some(one => one.endsWith(`.${name}`)) || name === 'then'

function thrownBy (symbol: ts.Symbol): string {
  const tags = symbol.getJsDocTags(checker).filter(({ name }) => name === 'throws')
  return tags.map(({ text }) => ts.displayPartsToString(text)).join('\n')
}

t.test('each parameter that a docstring names is there', async (t) => {
  const all = exportsOf(...entries)
  const called = [...all.filter(isFunction), ...all.flatMap(membersOf).filter(isMethod)]
  t.ok(called.length > 100, `${called.length} functions and methods`)
  t.strictSame([...new Set(called.flatMap(unusedParams))].sort(), [])
})

const isFunction = ({ flags }: ts.Symbol) => (flags & ts.SymbolFlags.Function) !== 0
const isMethod = ({ flags }: ts.Symbol) => (flags & ts.SymbolFlags.Method) !== 0

function exportsOf (...files: string[]): ts.Symbol[] {
  return files
    .flatMap(file => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)!)!))
    .map(symbol => symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol)
}

/** The `@param` of a docstring that no parameter has; the reference would leave them out. */
function unusedParams (symbol: ts.Symbol): string[] {
  const where = placeOf(symbol)
  if (where === undefined) return []
  return checker.getSignaturesOfType(checker.getTypeOfSymbol(symbol), ts.SignatureKind.Call).flatMap((signature) => {
    const written = ts.getJSDocTags(signature.declaration!).filter(ts.isJSDocParameterTag)
      .map(({ name }) => name.getText())
    // One that is taken apart is called by the first name without a dot.
    const names = signature.parameters.map(({ name, valueDeclaration }, index) =>
      valueDeclaration !== undefined && ts.isParameter(valueDeclaration) && !ts.isIdentifier(valueDeclaration.name)
        ? written.filter(tag => !tag.includes('.'))[index]
        : name)
    return written.filter(tag => !names.includes(tag.split('.', 1)[0]!))
      .map(tag => `${where} ${symbol.name}: @param ${tag}`)
  })
}

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
