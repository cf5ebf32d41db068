import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { expireTokens } from '../helpers/records.ts'
import { rejection } from '../helpers/rejection.ts'
import { programOf, read } from '../types/documents.ts'
import { repository } from '../types/installed-package.ts'
import { tableBelow } from '../types/markdown.ts'

// docs/observability.md: its code runs as it is written, and its tables have what there is.

const page = read('docs/observability.md')
const codes = (text: string) => [...text.matchAll(/`(\w+)`/g)].map(([, code = '']) => code)

t.test('the subscriber to a channel runs as it is written', async (t) => {
  const warnings = t.capture(console, 'warn')
  await import(`data:text/javascript,${encodeURIComponent(programOf('docs/observability.md', 'refresh-watch.mjs'))}`)
  const { store, run, provider } = await loggedInApp(t)
  expireTokens(store)
  await run(async oauth => await oauth.get('orders').json())
  expireTokens(store)
  provider.revokeGrants('alice')
  await run(async oauth => await rejection(oauth.get('orders').json()))
  t.strictSame(warnings().map(({ args: [text] }) => String(text).replace(/[\d.]+/, 'N')), [
    'refresh at acme: ended, FST_OAUTH_LOGIN_ENDED after N ms'
  ])
})

t.test('the tables of the channels have every channel, outcome and member', async (t) => {
  const { rows } = tableBelow(page, 'Tracing channels')
  const program = ts.createProgram([join(repository, 'lib/util/tracing.ts')], {
    strict: true, target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext, types: ['node'], noEmit: true
  })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(join(repository, 'lib/util/tracing.ts'))!
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source)!)
  const traces = checker.getDeclaredTypeOfSymbol(exported.find(({ name }) => name === 'Traces')!).getProperties()
  const documented = new Map(rows.map(([channel = '', , outcomes = '']) => [codes(channel)[0], outcomes]))
  t.strictSame([...documented.keys()].sort(), traces.map(({ name }) => name).sort())
  const members = new Set<string>()
  for (const trace of traces) {
    const type = checker.getTypeOfSymbolAtLocation(trace, source)
    for (const { name } of type.getProperties()) members.add(name)
    const outcome = checker.getNonNullableType(checker.getTypeOfSymbolAtLocation(type.getProperty('outcome')!, source))
    const values = (outcome as ts.UnionType).types.map(one => (one as ts.StringLiteralType).value)
    const told = documented.get(trace.name)!.split(';').map(part => codes(part)[0])
    t.strictSame(told.sort(), values.sort(), trace.name)
  }
  const second = page.slice(page.indexOf('| member |')).split('\n\n', 1)[0]!
  const first = second.split('\n').slice(2).flatMap(row => codes(row.split('|')[1]!))
  t.strictSame([...new Set(first)].sort(), [...members].sort())
})
