import { join } from 'node:path'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import t from 'tap'
import ts from 'typescript'
import { ProviderHandle } from '../../lib/standalone/provider.ts'
import { OAuthSession } from '../../lib/standalone/session.ts'
import * as exported from '../../lib/errors.ts'
import oauth, * as entry from '../../lib/index.ts'
import { resolveOptions } from '../../lib/options/resolve-options.ts'
import * as presets from '../../lib/providers.ts'
import { RequestOAuth } from '../../lib/request-oauth.ts'
import { Browser } from '../helpers/browser.ts'
import { startProvider } from '../helpers/provider.ts'
import { documentPaths, programOf, read } from '../types/documents.ts'
import { repository } from '../types/installed-package.ts'
import { fencedBlocks, tableBelow } from '../types/markdown.ts'
import { runApp } from '../types/run-app.ts'

const readme = read('README.md')
const options = read('docs/options.md')
const requestOAuth = read('docs/request-oauth.md')
const standalone = read('docs/standalone.md')
const errorPage = read('docs/errors.md')
/** Documents for who uses the package. */
const documents = documentPaths().filter(path => !path.startsWith('test/'))

t.test('the first app runs as it is written', async (t) => {
  const provider = await startProvider(t)
  const program = programOf('README.md', 'app.mjs')
  const app = await runApp(t, program, provider)
  const { url } = app
  const browser = new Browser()
  const orders = await browser.login(`${url}/orders`)
  t.equal(orders.url, `${url}/orders`)
  t.match(orders.json(), [{ id: 1 }, { id: 2 }])
  t.match((await browser.get(url)).json(), { user: { id: 'alice', name: 'Alice Adams', emailVerified: true } })
  await browser.logout(`${url}/logout`)
  t.strictSame((await browser.get(url)).json(), { user: null })
  t.equal((await browser.get(`${url}/orders`, { headers: { accept: 'application/json' } })).status, 401)
  t.strictSame(provider.errors, [])

  const secrets = browser.history.flatMap(page =>
    [...new URL(page.url).searchParams].filter(([name]) => ['code', 'state'].includes(name))
  )
  t.ok(secrets.length > 0)
  t.strictSame(secrets.filter(([, value]) => app.log().includes(value)), [], 'no code or state in the log')
  t.ok(program.trimEnd().split('\n').length <= 25, '25 lines')
})

t.test('the commands for a fresh machine', async (t) => {
  const { scripts, engines } = JSON.parse(read('package.json'))
  const commands = fencedBlocks(readme).filter(({ language }) => language === 'sh').map(({ code }) => code.trim())
  t.match(commands, ['npm ci && npm start', 'npm ci && npm test'])
  t.match(scripts, { prestart: scripts.pretest, start: String, pretest: 'npm run -s build', test: String })
  const install = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare']
  t.strictSame(install.filter(name => name in scripts), [], 'npm warns users of scripts that an install may run')
  t.match(readme, `Node.js ${engines.node.replace('>=', '')} or newer`)
})

t.test('the tables name what there is, and nothing else', async (t) => {
  t.test('options', async (t) => {
    const names = list('lib/options/resolve-options.ts', 'OPTIONS')
    t.strictSame(named(options, 'Options').sort(), [...names].sort())
    t.strictSame(members('lib/options.ts', 'PluginOptions').sort(), [...names].sort(), 'the type has the same')
  })

  t.test('provider options', async t => {
    const names = list('lib/providers/option-rules.ts', 'PROVIDER_OPTIONS')
    t.strictSame(named(options, 'Provider options').sort(), [...names].sort())
    t.strictSame(
      members('lib/providers/options.ts', 'ProviderOptions').sort(),
      [...names].sort(),
      'the type has the same'
    )
    const hooks = tableBelow(options, 'Provider options').rows.find(([name]) => name === '`hooks`')?.[1] ?? ''
    t.strictSame(
      codes(hooks).filter(code => /^\w+$/.test(code)).sort(),
      members('lib/providers/options.ts', 'ProviderHooks').sort()
    )
  })

  t.test('defaults', async t => {
    const { providers, routes } = resolveOptions(
      { baseUrl: 'https://app.example', providers: { acme: { issuer: 'https://id.example', clientId: 'app' } } },
      { hasSession: true, scopePrefix: '' }
    )
    const documented = tableBelow(options, 'Provider options').rows.flatMap(([names = '', , value = '']) => {
      const code = /^`(.*)`$/.exec(value)?.[1]
      return code === undefined ? [] : [[...codes(names), JSON.parse(code.replaceAll("'", '"'))]]
    })
    const real = Object.entries(providers.get('acme')!).filter(
      ([name, value]) => name !== 'name' && name !== 'title' && !['object', 'undefined'].includes(typeof value)
    )
    // The last three are made of other options.
    const given = ['issuer', 'clientId', 'identity', 'usualScope', 'usesCertificate', 'certificateBound']
    t.strictSame(Object.fromEntries(documented), Object.fromEntries(real.filter(([name]) => !given.includes(name))))
    t.match(options, `\`{ ${Object.entries(routes).map(([name, path]) => `${name}: '${path}'`).join(', ')} }\``)
  })

  t.test('routes', async (t) => {
    const { routes } = await plainApp()
    t.strictSame(named(options, 'Routes').sort(), routes.filter(route => !route.startsWith('HEAD ')).sort())
  })

  t.test('request.oauth', async (t) => {
    t.strictSame(named(requestOAuth, 'request.oauth').sort(), methods(RequestOAuth).sort())
    const { rows } = tableBelow(requestOAuth, 'request.oauth')
    const login = rows.find(([name]) => name?.startsWith('`login('))?.[1] ?? ''
    t.strictSame(codes(login).sort(), members('lib/routes/login.ts', 'LoginOptions').sort())
  })

  t.test('app.oauth', async (t) => {
    const { app } = await plainApp()
    const mentioned = new Set(
      documents.flatMap(path => [...read(path).matchAll(/app\.oauth\.(\w+)/g)].map(([, name]) => name))
    )
    t.strictSame([...mentioned].sort(), Object.keys(app.oauth).sort())
    t.match(
      read('docs/guards.md'),
      `app.oauth.requireLogin({ ${members('lib/routes/guard-options.ts', 'RequireLoginOptions').join(', ')} })`
    )
  })

  t.test('app.oauth.provider(name)', async (t) => {
    t.strictSame(named(standalone, 'The provider').sort(), methods(ProviderHandle).sort())
    t.strictSame(named(standalone, 'Sessions without a request').sort(), methods(OAuthSession).sort())
    const init = /^`session\(init\)` takes (.*)\.$/m.exec(standalone)?.[1] ?? ''
    t.strictSame(codes(init).sort(), members('lib/standalone/session.ts', 'OAuthSessionInit').sort())
  })

  t.test('functions', async t => {
    const functions = Object.keys(entry).filter(
      name => !/Error$|^(?:default|module\.exports|fastifyOAuthSession)$/.test(name)
    )
    t.strictSame(
      functions.filter(name => !documents.some(path => read(path).includes(`\`${name}(`))),
      []
    )
  })

  t.test('presets', async (t) => {
    // Fitbit's is there to say that it is gone.
    t.strictSame(named(options, 'Presets').sort(), Object.keys(presets).filter(name => name !== 'fitbit').sort())
    const usual = members('lib/providers/options.ts', 'ProviderOptions')
    for (const [names = '', ownOptions = ''] of tableBelow(options, 'Presets').rows) {
      for (const name of codes(names)) {
        const own = interfaces(`lib/providers/presets/${name}.ts`)
          .filter(item => /Options$/.test(item.name.text))
          .flatMap(item => item.members.map(member => member.name!.getText()))
        t.strictSame(own.filter(option => usual.includes(option) && codes(ownOptions).includes(option)), [],
          `no option of ${name}'s own has the name of a provider option`)
        t.strictSame(codes(ownOptions).sort(), own.filter(option => !usual.includes(option)).sort(), name)
      }
    }
  })

  t.test('hooks', async (t) => {
    const hooks = list('lib/options/resolve-options.ts', 'OPTIONS').filter(name => /^on[A-Z]/.test(name))
    t.strictSame(named(read('docs/hooks.md'), 'Hooks').sort(), hooks.sort())
  })

  t.test('errors', async t => {
    const classes = Object.entries(exported).filter(([name]) => name !== 'OAuthError') as [
      string,
      exported.OAuthErrorConstructor
    ][]
    const errors = classes.map(([name, Class]) => {
      const { code, statusCode } = new Class('message')
      return `${code} ${statusCode} ${name}`
    })
    t.strictSame(
      tableBelow(errorPage, 'Codes')
        .rows.map(([code = '', status, name = '']) => [...codes(code), status, ...codes(name)].join(' '))
        .sort(),
      errors.sort()
    )
    const details = members('lib/errors.ts', 'OAuthErrorDetails').filter(name => name !== 'cause')
    const sentence = /They carry (.*)\./.exec(errorPage)?.[1] ?? ''
    t.strictSame(codes(sentence).sort(), ['code', 'statusCode', ...details].sort())
  })
})

t.test('no document speaks of what does not exist', async t => {
  const codesOfErrors = new Set(
    Object.values(exported)
      .filter(Class => Class !== exported.OAuthError)
      .map(Class => new Class('message').code as string)
  )
  const { app } = await plainApp()
  for (const path of documents) {
    const text = read(path)
    const found = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, name = '']) => name)
    t.strictSame(found(/(FST_OAUTH_\w+)/g).filter(code => !codesOfErrors.has(code)), [], `codes in ${path}`)
    t.strictSame(
      found(/request\.oauth\.(\w+)/g).filter(name => !(name in RequestOAuth.prototype)),
      [],
      `request.oauth in ${path}`
    )
    t.strictSame(
      found(/(?:app|admin)\.oauth\.(\w+)/g).filter(name => !(name in app.oauth)),
      [],
      `app.oauth in ${path}`
    )
    t.strictSame(
      found(/(?<!\b(?:oauth2|requests)\.)\b([A-Z]\w+Error)\b/g).filter(name => !(name in exported)),
      [],
      `classes in ${path}`
    )
  }
})

/** An app with the plugin's defaults, closed, and the routes that it had. */
async function plainApp () {
  const app = Fastify()
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => { routes.push(...[method].flat().map(item => `${item} ${url}`)) })
  await app.register(cookie)
  await app.register(session, { secret: 'thirty-two characters at the very least', cookie: { secure: 'auto' } })
  const acme = { issuer: 'https://id.example', clientId: 'app' }
  await app.register(oauth, {
    baseUrl: 'https://app.example',
    providers: { acme, old: { ...acme, grantType: 'password' } }
  })
  await app.ready()
  await app.close()
  return { app, routes }
}

/** What an object of this class has, inherited methods included. */
function methods ({ prototype }: { prototype: object }): string[] {
  const parent = Object.getPrototypeOf(prototype) as object
  const own = Object.getOwnPropertyNames(prototype).filter(name => name !== 'constructor')
  return parent === Object.prototype ? own : [...own, ...methods({ prototype: parent })]
}

/** What stands in backticks in the first column of the table below a heading; of a call, its name. */
function named (document: string, heading: string): string[] {
  return tableBelow(document, heading)
    .rows.flatMap(([first = '']) => codes(first))
    .map(name => name.replace(/\(.*\)$/, ''))
}

function codes (text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
}

/** The strings of a list, or the keys of an object, at the top of a file that does not export it. */
function list (path: string, name: string): string[] {
  const source = sourceOf(path)
  const declarations = source.statements
    .filter(ts.isVariableStatement)
    .flatMap(({ declarationList }) => [...declarationList.declarations])
  let value = declarations.find(declaration => declaration.name.getText(source) === name)?.initializer
  while (value !== undefined && (ts.isAsExpression(value) || ts.isSatisfiesExpression(value))) value = value.expression
  if (value !== undefined && ts.isArrayLiteralExpression(value)) {
    return value.elements.filter(ts.isStringLiteral).map(({ text }) => text)
  }
  if (value !== undefined && ts.isObjectLiteralExpression(value)) {
    return value.properties.map(({ name: key }) => key!.getText(source))
  }
  throw new Error(`${path} has no list ${name}`)
}

/** The members of an interface. */
function members (path: string, name: string): string[] {
  const found = interfaces(path).find(item => item.name.text === name)
  if (found === undefined) throw new Error(`${path} has no interface ${name}`)
  return found.members.map(member => member.name!.getText())
}

function interfaces (path: string): ts.InterfaceDeclaration[] {
  return sourceOf(path).statements.filter(ts.isInterfaceDeclaration)
}

function sourceOf (path: string): ts.SourceFile {
  return ts.createSourceFile(path, ts.sys.readFile(join(repository, path)) ?? '', ts.ScriptTarget.Latest, true)
}
