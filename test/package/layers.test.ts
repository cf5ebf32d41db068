import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'
import ts from 'typescript'

// From the ground up: a file imports from its own layer and from those before it. Types count as well.
const layers = [
  'errors',
  'util',
  'oauth',
  'http',
  'pages',
  'providers',
  'tokens',
  'calls',
  'login',
  'standalone',
  'options',
  'session',
  'context',
  'routes',
  'request-oauth',
  'app-oauth',
  'startup-log',
  'preload',
  'plugin',
  'redis',
  'opentelemetry',
  'index',
  'testing',
  'doctor',
  'cli'
]

/** Package → where its values may be imported, and where its types may. A name that ends with `/` is a folder. */
const packages: Record<string, { values: string[], types: string[] }> = {
  undici: {
    values: ['http/transport.ts', 'preload.ts', 'testing/'],
    types: ['http/', 'calls/', 'standalone/', 'options.ts']
  },
  oauth4webapi: { values: [], types: ['oauth/', 'providers/'] },
  jose: { values: ['oauth/', 'testing/'], types: ['providers/'] },
  'fastify-plugin': { values: ['index.ts'], types: [] },
  '@opentelemetry/api': { values: ['opentelemetry.ts'], types: [] },
  // The app brings these. A value of theirs would be a second copy; the doctor starts an app of its own.
  fastify: {
    values: ['doctor/login.ts'],
    types: [
      'options.ts', 'session/', 'context.ts', 'routes/', 'request-oauth.ts', 'plugin.ts', 'index.ts', 'testing/',
      'doctor/'
    ]
  },
  '@fastify/cookie': { values: ['doctor/login.ts'], types: ['routes/'] },
  '@fastify/session': { values: ['doctor/login.ts'], types: ['session/fastify-session.ts'] },
  // Only tests need it.
  'oidc-provider': { values: ['testing/load-oidc-provider.ts'], types: [] },
}

interface Import {
  file: string
  line: number
  specifier: string
  /** Gone from the JavaScript. `import { type A }` is not: `verbatimModuleSyntax` keeps the import. */
  typeOnly: boolean
}

const lib = new URL('../../lib/', import.meta.url)
const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).sort()
const imports = files.flatMap(readImports)
const internal = imports.filter(({ specifier }) => specifier.startsWith('.'))
const external = imports.filter(({ specifier }) => !specifier.startsWith('.') && !specifier.startsWith('node:'))

function readImports (file: string): Import[] {
  const source = ts.createSourceFile(file, readFileSync(new URL(file, lib), 'utf8'), ts.ScriptTarget.Latest)
  const found: Import[] = []
  const add = (node: ts.Node, given: ts.Node | undefined, typeOnly: boolean) => {
    if (given === undefined) return
    // `import('a' as string)`: of a package without types.
    const specifier = ts.isAsExpression(given) ? given.expression : given
    const line = source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1
    found.push({
      file,
      line,
      specifier: ts.isStringLiteral(specifier) ? specifier.text : specifier.getText(source),
      typeOnly
    })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, node.importClause?.isTypeOnly === true)
    if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly)
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node, node.argument.literal, true)
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node, node.arguments[0], false)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const targetOf = ({ file, specifier }: Import) => posix.join(posix.dirname(file), specifier)
const layerOf = (file: string) =>
  layers.indexOf(file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, ''))
const isIn = (file: string, places: string[]) =>
  places.some(place => (place.endsWith('/') ? file.startsWith(place) : file === place))
const show = ({ file, line, specifier, typeOnly }: Import) =>
  `lib/${file}:${line} imports ${typeOnly ? 'a type' : 'a value'} from ${specifier}`

t.test('imports are found', async (t) => {
  t.ok(files.length > 30, `${files.length} files`)
  t.ok(
    imports.some(
      ({ file, specifier, typeOnly }) => file === 'http/transport.ts' && specifier === 'undici' && !typeOnly
    ),
    'a dynamic one'
  )
  t.ok(imports.some(({ specifier, typeOnly }) => specifier === 'fastify' && typeOnly), 'one of a type')
})

t.test('every file has its layer', async (t) => {
  t.strictSame(files.filter(file => layerOf(file) === -1), [])
})

t.test('an entry with a peer of its own is imported by nothing', async (t) => {
  t.strictSame(internal.filter(item => targetOf(item) === 'opentelemetry.ts').map(show), [])
})

t.test('imports run one way', async (t) => {
  t.strictSame(internal.filter(item => layerOf(targetOf(item)) > layerOf(item.file)).map(show), [])
})

t.test('every import leads to a file of lib', async (t) => {
  t.strictSame(internal.filter(item => !files.includes(targetOf(item))).map(show), [])
})

t.test('no file needs itself', async (t) => {
  const values = internal.filter(({ typeOnly }) => !typeOnly)
  t.strictSame(files.map(file => cycleFrom(file, values)).filter(cycle => cycle !== undefined), [])
})

t.test('each package is imported where it belongs', async (t) => {
  const misplaced = external.filter(({ file, specifier, typeOnly }) => {
    const { values, types } = packages[specifier] ?? { values: [], types: [] }
    return !isIn(file, values) && !(typeOnly && isIn(file, types))
  })
  t.strictSame(misplaced.map(show), [])
})

t.test('package.json lists what is imported, and nothing else', async t => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  )
  const optional = Object.keys(peerDependenciesMeta)
  const used = new Set(external.map(({ specifier }) => specifier))
  const byApps = external.filter(({ file, typeOnly }) => !typeOnly && !file.startsWith('doctor/'))
  const loaded = new Set(byApps.map(({ specifier }) => specifier))
  t.strictSame([...used].sort(), Object.keys({ ...dependencies, ...peerDependencies }).sort())
  // The types of the metadata are oauth4webapi's, in the declarations that are published.
  const needed = [...loaded].filter(name => !optional.includes(name))
  t.strictSame([...needed, 'oauth4webapi'].sort(), Object.keys(dependencies).sort())
})

const fastifySession = 'session/fastify-session.ts'
// Names of @fastify/session's, what leads to a session, and casts to one.
const ofFastifySession = [
  /\b(?:decryptSession|encryptedSessionId|cookieSignerKey)\b/, /\brequest\.session(?:Store)?\b/,
  /\.(?:isSaved|isModified|regenerate)\b/, /\bas (?:unknown as )?SessionObject\b/
]

t.test('one file knows @fastify/session; the others ask it', async (t) => {
  const found = (file: string) => {
    const code = readFileSync(new URL(file, lib), 'utf8').replace(/\/\*[^]*?\*\/|\/\/ .*/g, '')
    return ofFastifySession.flatMap(name => name.exec(code) ?? []).map(text => `lib/${file}: ${text}`)
  }
  t.equal(found(fastifySession).length, ofFastifySession.length)
  t.strictSame(files.filter(file => file !== fastifySession).flatMap(found), [])
})

t.test("only lib/tokens changes a record's state", async (t) => {
  const importing = internal.filter(item => targetOf(item) === 'tokens/record-state.ts')
  t.strictSame(importing.filter(({ file }) => !file.startsWith('tokens/')).map(show), [])
  const text = readFileSync(new URL('tokens/record-state.ts', lib), 'utf8')
  const source = ts.createSourceFile('record-state.ts', text, ts.ScriptTarget.Latest)
  const classes = source.statements.filter(ts.isClassDeclaration)
  t.strictSame(classes.map(({ name }) => name?.text), ['RecordState', 'RecordStates'])
  const fields = classes.flatMap(({ members }) => members.filter(ts.isPropertyDeclaration))
  t.ok(fields.length > 10)
  const open = fields.filter(({ name, modifiers = [] }) =>
    !ts.isPrivateIdentifier(name) && !modifiers.some(({ kind }) => kind === ts.SyntaxKind.ReadonlyKeyword))
  t.strictSame(open.map(({ name }) => name.getText(source)), [])
})

/** A way from a file back to itself, as text. */
function cycleFrom (
  start: string,
  edges: Import[],
  path: string[] = [start],
  seen = new Set<string>()
): string | undefined {
  for (const edge of edges.filter(({ file }) => file === path.at(-1))) {
    const next = targetOf(edge)
    if (next === start) return [...path, next].join(' → ')
    if (seen.has(next)) continue
    const longer = cycleFrom(start, edges, [...path, next], seen.add(next))
    if (longer !== undefined) return longer
  }
  return undefined
}
