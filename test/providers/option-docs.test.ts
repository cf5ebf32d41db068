import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { type OptionRule, PROVIDER_OPTIONS } from '../../lib/providers/option-rules.ts'
import { repository } from '../types/installed-package.ts'

const path = join(repository, 'lib/providers/options.ts')
const source = ts.createSourceFile(path, ts.sys.readFile(path) ?? '', ts.ScriptTarget.Latest, true)
const members = source.statements
  .filter(ts.isInterfaceDeclaration)
  .find(({ name }) => name.text === 'ProviderOptions')!.members

t.test('the docstring of each provider option has its default', async (t) => {
  for (const member of members) {
    const name = member.name!.getText() as keyof typeof PROVIDER_OPTIONS
    const rule: OptionRule<any> = PROVIDER_OPTIONS[name]
    if (rule.default === undefined || typeof rule.default === 'object') continue
    const docs = ts.getJSDocCommentsAndTags(member).map(node => node.getText().replaceAll(/\s*\n\s*\*\s*/g, ' ')).join()
    t.ok(docs.includes(`Default ${shown(rule.default)}`), `${name}: Default ${shown(rule.default)}`)
  }
})

function shown (value: unknown): string {
  if (value === ' ') return 'a space'
  if (typeof value === 'number') return value.toLocaleString('en-US')
  return typeof value === 'string' && /^[a-z_]+$/.test(value) ? `\`${value}\`` : String(value)
}
