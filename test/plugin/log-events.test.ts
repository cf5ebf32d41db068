import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { InvalidTokenResponseError } from '../../lib/errors.ts'
import { errorForLog } from '../../lib/util/logger.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { expireTokens } from '../helpers/records.ts'
import { repository } from '../types/installed-package.ts'

// Every log line has an event, and docs/logging.md has each event.

const lib = join(repository, 'lib/')
const { config } = ts.readConfigFile(join(repository, 'tsconfig.json'), ts.sys.readFile)
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, repository)
const program = ts.createProgram(['index.ts', 'opentelemetry.ts', 'redis.ts'].map(file => join(lib, file)), options)
const checker = program.getTypeChecker()

/** The calls of lib that write a log line; `isTyped` where the compiler asks for an event. */
const calls: { place: string, call: ts.CallExpression, isTyped: boolean }[] = []
for (const source of program.getSourceFiles()) {
  if (source.fileName.startsWith(lib)) visit(source, source)
}

function visit (node: ts.Node, source: ts.SourceFile): void {
  const declaration = ts.isCallExpression(node) && checker.getResolvedSignature(node)?.declaration
  if (declaration && ts.isCallExpression(node)) {
    const file = declaration.getSourceFile().fileName
    const isTyped = file === join(lib, 'util/logger.ts') && ts.isMethodSignature(declaration)
    if (isTyped || /\/(?:pino\/pino|fastify\/types\/logger)\.d\.ts$/.test(file)) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart())
      calls.push({ place: `${source.fileName.slice(lib.length)}:${line + 1}`, call: node, isTyped })
    }
  }
  ts.forEachChild(node, child => visit(child, source))
}

/** The values that a type of string literals has. */
const valuesOf = (type: ts.Type) =>
  (type.isUnion() ? type.types : [type]).flatMap(one => (one.isStringLiteral() ? one.value : []))

/** The rows of docs/logging.md as the calls have it: event, levels and members. */
function rowsOf ({ call }: { call: ts.CallExpression }): string[] {
  const { expression: callee, arguments: [details] } = call
  const levels = ts.isElementAccessExpression(callee)
    ? valuesOf(checker.getTypeAtLocation(callee.argumentExpression))
    : [(callee as ts.PropertyAccessExpression).name.text]
  const type = checker.getTypeAtLocation(details!)
  const names = (type.isUnion() ? type.types : [type]).flatMap(one => one.getProperties().map(({ name }) => name))
  const events = valuesOf(checker.getTypeOfSymbolAtLocation(type.getProperty('event')!, details!))
  const members = [...new Set(names)].filter(name => name !== 'event').sort()
  return events.map(event => `${event}: ${levels.sort().join()}: ${members.join()}`)
}

t.test('every log line is written through the typed logger, which asks for an event', async (t) => {
  t.ok(calls.length > 30, `${calls.length} calls`)
  t.strictSame(calls.filter(({ isTyped }) => !isTyped).map(({ place }) => place), [])
})

t.test('docs/logging.md has each event, with its levels and members', async (t) => {
  const text = readFileSync(join(repository, 'docs/logging.md'), 'utf8')
  const documented = [...text.matchAll(/^\| `(\w+)` \| ([a-z, ]+) \| .+ \| (.*)\|$/gm)]
    .map(([, event = '', levels = '', members = '']) => {
      const names = [...members.matchAll(/\w+/g)].map(([name]) => name)
      return `${event}: ${levels.split(', ').sort().join()}: ${names.sort().join()}`
    })
  t.strictSame(documented, [...new Set(calls.flatMap(rowsOf))].sort())
  const logger = program.getSourceFile(join(lib, 'util/logger.ts'))!
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(logger)!)
  const union = exported.find(({ name }) => name === 'LogEvent')!
  const events = documented.map(row => row.replace(/:.*/, ''))
  t.strictSame(events, valuesOf(checker.getDeclaredTypeOfSymbol(union)).sort(), 'and each event is written somewhere')
})

t.test('a line about something that fails has its event, and the code of the error as err.code', async (t) => {
  const log = captureLog()
  const { url, store, browser, provider, orders } = await loggedInApp(t, {
    fastify: { logger: log.logger },
    setup: (app) => { app.get('/members', { onRequest: app.oauth.requireLogin() }, async () => 'in') }
  })
  let read = log.lines.length
  const logged = () => {
    const lines = log.lines.slice(read).filter(({ event, level }) => event !== undefined || Number(level) >= 40)
    read = log.lines.length
    return lines.map(({ level, event, provider, err }) => {
      const { code, reason, message } = err as Record<string, unknown>
      t.type(message, 'string')
      return { level, event, provider, code, ...(reason !== undefined && { reason }) }
    })
  }
  const acme = { level: 40, provider: 'acme' }

  await browser.get(`${url}/login/acme/callback?code=c&state=s`)
  t.strictSame(logged(), [
    { ...acme, event: 'login_failed', code: 'FST_OAUTH_STATE_MISMATCH', reason: 'other_browser' }
  ])

  expireTokens(store)
  for (const [id, text] of store.records) store.records.set(id, text.replace(/"obtainedAt":\d+/, '"obtainedAt":1'))
  const unavailable = provider.failTokenEndpoint({ status: 503 })
  t.equal((await browser.get(`${url}/members`)).text, 'in')
  unavailable.stop()
  t.strictSame(logged(), [{ ...acme, event: 'guard_refresh_failed', code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }])

  const ended = provider.failTokenEndpoint({ status: 400, body: { error: 'invalid_grant' } })
  t.equal((await orders()).status, 401)
  ended.stop()
  t.strictSame(logged(), [
    { ...acme, level: 30, event: 'login_ended', code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', reason: 'refused' }
  ])

  await browser.login(`${url}/login/acme`)
  await browser.post(`${url}/logout`, { headers: { 'sec-fetch-site': 'cross-site' } })
  provider.endpoints.revocation.fail(({ response }) => { response.destroy() })
  await browser.post(`${url}/logout`, { redirect: 'manual' })
  const [refused, ...notRevoked] = logged()
  t.match(refused, { level: 40, event: 'logout_failed', code: 'FST_OAUTH_CROSS_SITE_REQUEST' })
  t.ok(notRevoked.length > 0)
  for (const line of notRevoked) {
    t.match(line, { ...acme, event: 'tokens_not_revoked', code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  }
})

t.test("an error in a line has what it says of the failure, and no parser's message", async (t) => {
  const details = { reason: 'refused', oauthErrorDescription: 'no', responseStatus: 400, excerpt: 'no' } as const
  const described = { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', ...details, message: 'refused' }
  const loggedWith = (cause: Error) => errorForLog(new InvalidTokenResponseError('refused', { ...details, cause }))
  t.strictSame(loggedWith(new Error('reset')), { ...described, cause: 'reset' })
  t.strictSame(loggedWith(new SyntaxError('"secret" is not valid JSON')), described)
  t.notMatch(errorForLog(new Error('"secret" is not valid JSON')).message, 'secret')
  t.match(errorForLog(new TypeError('Converting circular structure to JSON')).message, 'circular')
})
