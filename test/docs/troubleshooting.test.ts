import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { read } from '../types/documents.ts'
import { repository } from '../types/installed-package.ts'

// docs/troubleshooting.md against the source: what it quotes is said, and what it names exists.

const page = read('docs/troubleshooting.md')
const sources = readdirSync(join(repository, 'lib'), { recursive: true, encoding: 'utf8' })
  .filter(path => path.endsWith('.ts'))
  .map(path => read(`lib/${path}`).replaceAll(/['"`] \+\n\s*['"`]/g, '').replaceAll('\\`', '`').replaceAll("\\'", "'"))
const rows = [...page.matchAll(/^\| (?!what you see|---)(.+?) \| (.+?) \| (.+?) \|$/gm)]

t.test('each message that it quotes is one of the plugin', async (t) => {
  const quoted = rows.flatMap(([, symptom = '']) => [...symptom.matchAll(/"([^"]+)"/g)].map(([, text = '']) => text))
  t.ok(quoted.length >= 10)
  t.strictSame(quoted.filter(text => !sources.some(source => source.includes(text))), [])
})

t.test('each log event and option that it names exists', async (t) => {
  const pages = ['logging', 'options', 'logout', 'errors', 'providers', 'from-requests-oauthlib']
    .map(name => read(`docs/${name}.md`))
  const names = [...page.matchAll(/`([a-z]+_[a-z_]+)`/g)].map(([, name = '']) => name)
  t.strictSame(names.filter(name => !pages.some(text => text.includes(name))), [])
  t.ok(rows.every(row => row.length === 4 && row[3] !== ''), 'each row says what to do')
})
