import { readdirSync, readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import * as errors from '../../lib/errors.ts'

const lib = new URL('../../lib/', import.meta.url)

const classes = Object.entries(errors) as [string, errors.OAuthErrorConstructor][]

t.test('each class is called as it is exported: a log shows it as the error\'s type', async (t) => {
  for (const [name, Class] of classes) t.equal(Class.name, name)
})

t.test('an error is printed with its code, its message and where it was thrown', async (t) => {
  t.match(inspect(new errors.LoginRequiredError('log in')), /^FST_OAUTH_LOGIN_REQUIRED: log in\n +at /)
})

t.test('access_denied and a wrong password are failed logins', async (t) => {
  for (const Class of [errors.AccessDeniedError, errors.InvalidCredentialsError]) {
    const error = new Class('no')
    t.ok(error instanceof errors.AuthorizationFailedError)
    t.equal(error.code, 'FST_OAUTH_AUTHORIZATION_FAILED')
  }
  t.notOk(new errors.AuthorizationFailedError('no') instanceof errors.AccessDeniedError)
  t.notOk(new errors.AccessDeniedError('no') instanceof errors.InvalidCredentialsError)
})

t.test('a log prints no token set, no response and of a cause no more than its words', async (t) => {
  const tokens = { accessToken: 'secret', tokenType: 'Bearer', scope: [], raw: {} }
  const response = { statusCode: 500, headers: {}, body: Buffer.from('secret') }
  const cause = Object.assign(new TypeError('broken'), { code: 'ECONNRESET', request: 'secret' })
  const updated = new errors.TokensUpdatedError('save them', { tokens, cause })
  const failed = new errors.ResponseStatusError('500', { response, responseStatus: 500 })
  for (const error of [updated, failed]) t.notMatch(JSON.stringify(error) + inspect(error), /secret/)
  t.equal(updated.tokens, tokens)
  t.equal(failed.response, response)
  t.match(updated.cause, { name: 'TypeError', code: 'ECONNRESET', message: 'broken' })
})

t.test('an error has the headers that its status asks for', async (t) => {
  t.strictSame(new errors.LoginRequiredError('log in', { retryAfter: 3 }).headers, {
    'retry-after': '3', 'www-authenticate': 'Bearer'
  })
  t.strictSame(new errors.InvalidCredentialsError('no').headers, { 'www-authenticate': 'Bearer' })
  t.equal(new errors.AccessDeniedError('no').headers, undefined)
})

t.test('docs/errors.md has each reason, with its comment', async (t) => {
  const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  const documented = page.slice(page.indexOf('\n## Reasons\n')).matchAll(/^\| `(\w+)` \| (.*) \|$/gm)
  t.strictSame([...documented].map(([, name, text]) => `${name}: ${text}`).sort(), declaredReasons().sort())
})

t.test('each reason is given somewhere', async (t) => {
  const sources = readdirSync(lib, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && file !== 'errors.ts')
    .map(file => readFileSync(new URL(file, lib), 'utf8'))
  const names = declaredReasons().map(line => line.replace(/:.*/, '').replace(/^missing_(?=.*_(?:endpoint|uri)$)/, ''))
  t.ok(names.length > 50)
  t.strictSame(names.filter(name => !sources.some(source => source.includes(`'${name}'`))), [])
})

t.test('each class of an error is used somewhere', async (t) => {
  const sources = readdirSync(lib, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && file !== 'errors.ts')
    .map(file => readFileSync(new URL(file, lib), 'utf8'))
    .join('\n')
    .replaceAll(/^import [^']*'[^']*'$/gm, '')
  const classes = Object.keys(errors).filter(name => name.endsWith('Error') && name !== 'OAuthError')
  t.ok(classes.length > 20)
  t.strictSame(classes.filter(name => !new RegExp(`\\b${name}\\b`).test(sources)), [])
})

/** The values of OAuthErrorReason, each with the comment behind it. */
function declaredReasons (): string[] {
  const text = readFileSync(new URL('errors.ts', lib), 'utf8')
  const source = ts.createSourceFile('errors.ts', text, ts.ScriptTarget.Latest, true)
  const alias = source.statements.filter(ts.isTypeAliasDeclaration).find(({ name }) => name.text === 'OAuthErrorReason')
  return (alias!.type as ts.UnionTypeNode).types.map((type) => {
    const [comment] = ts.getTrailingCommentRanges(text, type.end) ?? []
    return `${type.getText().slice(1, -1)}: ${text.slice(comment?.pos, comment?.end).replace('// ', '')}`
  })
}
