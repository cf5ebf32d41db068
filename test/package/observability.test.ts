import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SpanKind } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { Browser } from '../helpers/browser.ts'
import { html } from '../helpers/faults.ts'
import { freePort } from '../helpers/listen.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { startProvider } from '../helpers/provider.ts'
import { expireTokens } from '../helpers/records.ts'
import { rejection } from '../helpers/rejection.ts'
import { type Sample, samplesOf, startTelemetry } from '../helpers/telemetry.ts'
import { programOf, read } from '../types/documents.ts'
import { installPackage, linkImports, repository } from '../types/installed-package.ts'
import { tableBelow } from '../types/markdown.ts'
import { runApp } from '../types/run-app.ts'

interface Dashboard {
  templating: { list: { definition?: string }[] }
  panels: {
    id: number
    datasource: { uid: string }
    gridPos: Record<'x' | 'y' | 'w' | 'h', number>
    targets: { expr: string, legendFormat: string, datasource: { uid: string } }[]
  }[]
}

// docs/observability.md: its code runs as it is written, and its tables have what there is.

const page = read('docs/observability.md')
const code = (text: string) => /`([^`]+)`/.exec(text)?.[1] ?? ''
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

const sorted = (sets: Map<string, Set<string>>) =>
  Object.fromEntries([...sets].map(([name, values]) => [name, [...values].sort()]))

/** What Prometheus reads of logins, calls, refreshes and logouts, some of which fail. */
async function scrapeOfEverything (t: Test): Promise<{ samples: Sample[], spans: ReadableSpan[] }> {
  const telemetry = await startTelemetry(t)
  const { store, url, run, provider, browser } = await loggedInApp(t)
  expireTokens(store)
  await run(async oauth => await oauth.get('orders').json())
  await run(async oauth => await rejection(oauth.get('https://elsewhere.example/').json()))
  await new Browser().get(`${url}/login/acme/callback?state=some&code=some`)
  provider.failTokenEndpoint(html, { times: 1 })
  expireTokens(store)
  await run(async oauth => await rejection(oauth.tokens()))
  await browser.logout(`${url}/logout`)
  return { samples: await telemetry.scrape(), spans: telemetry.spans }
}

t.test('the program for Prometheus runs as it is written, before the first app', async (t) => {
  const provider = await startProvider(t)
  const folder = await installPackage(t)
  const program = programOf('docs/observability.md', 'telemetry.mjs')
  await linkImports(folder, program)
  await writeFile(join(folder, 'telemetry.mjs'), program)
  const port = String(await freePort())
  const { url } = await runApp(t, programOf('README.md', 'app.mjs'), provider, {
    folder, env: { NODE_OPTIONS: '--import ./telemetry.mjs', METRICS_PORT: port }
  })
  const browser = new Browser()
  await browser.login(`${url}/orders`)
  const samples = samplesOf(await (await fetch(`http://localhost:${port}/metrics`)).text())
  for (const name of ['logins_total', 'login_duration_count', 'exchange_duration_count', 'call_duration_count']) {
    t.match(samples.find(sample => sample.name === `fastify_oauth_session_${name}`), { value: 1 }, name)
  }
})

t.test('the page has the metrics that Prometheus reads, with their attributes, and no other', async (t) => {
  const { samples } = await scrapeOfEverything(t)
  const seen = new Map<string, Set<string>>()
  for (const { name, labels } of samples.filter(({ name }) => name.startsWith('fastify_oauth_session_'))) {
    const metric = name.replace(/_(?:bucket|sum|count)$/, '')
    const own = Object.keys(labels).filter(label => !/^(?:otel_.*|le|error_type)$/.test(label))
    seen.set(metric, new Set([...seen.get(metric) ?? [], ...own]))
  }
  const { rows } = tableBelow(page, 'Metrics')
  const documented = rows.map(([name = '', prometheus = '', unit = '', attributes = '']) => {
    const inPrometheus = code(prometheus)
    t.equal(inPrometheus.replace(/_total$/, ''), code(name).replaceAll('.', '_'))
    t.equal(code(unit) === 's', name.includes('.duration'), `${name} in ${unit}`)
    const labels = [...attributes.matchAll(/`([a-z_]+\.[a-z._]+)`/g)].map(([, attribute = '']) => attribute)
    return [inPrometheus, labels.map(label => label.replaceAll('.', '_')).sort()]
  })
  t.strictSame(Object.fromEntries(documented), sorted(seen))
})

t.test('the page has the spans, with their attributes', async (t) => {
  const { spans } = await scrapeOfEverything(t)
  const common = ['oauth.provider', 'oauth.outcome', 'oauth.error', 'error.type', 'http.request.method_original']
  const seen = new Map<string, Set<string>>()
  for (const { name, kind, attributes } of spans) {
    const own = Object.keys(attributes).filter(attribute => !common.includes(attribute))
    seen.set(name, new Set([...seen.get(name) ?? [SpanKind[kind].toLowerCase()], ...own]))
  }
  const documented = tableBelow(page, 'Spans').rows.map(([name = '', kind = '', attributes = '']) =>
    [code(name), [kind, ...[...attributes.matchAll(/`([^`]+)`/g)].map(([, attribute]) => attribute)].sort()])
  t.strictSame(Object.fromEntries(documented), sorted(seen))
})

t.test('each metric and label of the dashboard and of the alerts is in a scrape', async (t) => {
  const { samples } = await scrapeOfEverything(t)
  const dashboard = JSON.parse(read('docs/grafana-dashboard.json')) as Dashboard
  const variables = dashboard.templating.list.flatMap(({ definition = [] }) => definition)
  const targets = dashboard.panels.flatMap(panel => panel.targets)
  const alerts = tableBelow(page, 'Alerts').rows.map(([, expression = '']) => code(expression))
  t.ok(targets.length > 12 && alerts.length > 3)
  for (const expression of [...targets.map(({ expr }) => expr), ...variables, ...alerts]) {
    const names = expression.match(/fastify_oauth_session_[\w()|?]*\w/g) ?? []
    t.ok(names.length > 0, expression)
    for (const name of names) {
      const found = samples.filter(sample => new RegExp(`^${name}$`).test(sample.name))
      t.ok(found.length > 0, `${name} is in the scrape`)
      const labels = new Set(found.flatMap(sample => Object.keys(sample.labels)))
      const used = [
        ...[...expression.matchAll(/by \(([^)]+)\)/g)].flatMap(([, list = '']) => list.split(', ')),
        ...[...expression.matchAll(/[{,](\w+)=/g)].map(([, label = '']) => label),
        ...[...expression.matchAll(/label_values\(.*, (\w+)\)/g)].map(([, label = '']) => label)
      ].filter(label => label !== '__name__')
      t.strictSame(used.filter(label => !labels.has(label)), [], `labels of ${expression}`)
    }
  }
  for (const { expr, legendFormat } of targets) {
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
    const [, by = ''] = /by \(([^)]+)\)/.exec(expr) ?? []
    t.strictSame(shown.filter(label => !by.split(', ').includes(label)), [], legendFormat)
  }
})

t.test('the panels of the dashboard do not cover each other, and all read the source that is chosen', async (t) => {
  const { panels } = JSON.parse(read('docs/grafana-dashboard.json')) as Dashboard
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + index % w}:${y + Math.floor(index / w)}`))
  t.equal(new Set(cells).size, cells.length)
  t.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const sources = panels.flatMap(panel => [panel, ...panel.targets]).map(({ datasource }) => datasource.uid)
  t.strictSame([...new Set(sources)], ['$' + '{datasource}'])
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
