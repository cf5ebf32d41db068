import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { environment, installPackage, repository } from '../types/installed-package.ts'

// What an app loads when it starts, and what it leaves to its first login.

const require = createRequire(join(repository, 'package.json'))
/** Loaded by the first login with an ID token. */
const LATER = ['jose', 'undici']
/** Its types are used, and nothing else of it. */
const NEVER = 'oauth4webapi'

t.test('the start of an app', async (t) => {
  const folder = await installPackage(t)
  for (const name of [...LATER, NEVER]) await recordLoading(join(folder, 'node_modules', name), name)
  const { issuer, providerOptions } = await startMisbehavingProvider(t)
  const app = `
    const show = value => console.log(JSON.stringify(value))
    globalThis.loaded = []
    globalThis.noteLoading = (name) => {
      loaded.push(name)
      if (loaded.length === ${LATER.length}) show({ loaded })
    }
    async function build (Fastify, cookie, session, oauth) {
      const app = Fastify()
      await app.register(cookie)
      await app.register(session, { secret: 'thirty-two characters at the very least', cookie: { secure: false } })
      const baseUrl = () => 'http://127.0.0.1:' + app.server.address().port
      await app.register(oauth, { baseUrl, providers: { acme: ${JSON.stringify(providerOptions)} } })
      app.get('/', async ({ oauth }) => oauth.user)
      return app
    }
    const shown = app => show({ port: app.server.address().port, atStart: [...loaded] })
    const listen = async app => { await app.listen({ port: 0, host: '127.0.0.1' }); shown(app) }
    // Without Fastify's own listen(), its hook does not run, and nothing is loaded before it is used.
    const hold = async app => { await app.ready(); app.server.listen(0, '127.0.0.1', () => shown(app)) }`
  const modules = ['fastify', '@fastify/cookie', '@fastify/session', 'fastify-oauth-session']
  const esm = (run: string) => modules.map((name, i) => `import m${i} from '${name}'\n`).join('') +
    `${app}\nawait ${run}(await build(${modules.map((_, i) => `m${i}`)}))`
  const commonjs = (run: string) => `${app}\nbuild(${modules.map(name => `require('${name}')`)}).then(${run})`

  for (const [name, file, program] of [['import', 'held.mjs', esm], ['require', 'held.cjs', commonjs]] as const) {
    t.test(`${name}: loads neither jose nor oauth4webapi nor undici, and the first login does`, async (t) => {
      const lines = await start(t, folder, file, program('hold'))
      const { port, atStart } = await lines('port')
      t.strictSame(atStart, [])
      await login(t, port)
      t.strictSame((await lines('loaded')).loaded.sort(), LATER)
    })
  }

  for (const [name, file, program] of [['import', 'app.mjs', esm], ['require', 'app.cjs', commonjs]] as const) {
    t.test(`${name}: an app that listens loads them on its own`, async (t) => {
      const lines = await start(t, folder, file, program('listen'))
      t.strictSame((await lines('loaded')).loaded.sort(), LATER)
    })

    t.test(`${name}: a login at once after listening works`, async (t) => {
      const lines = await start(t, folder, file, program('listen'))
      const { port } = await lines('port')
      await login(t, port)
    })
  }

  t.test('an app that closes at once ends', async (t) => {
    const program = esm('(async app => { await listen(app); await app.close() })')
    const child = await spawnProgram(t, folder, 'closes.mjs', program)
    t.strictSame(await once(child, 'exit'), [0, null])
  })

  async function login (t: Test, port: number): Promise<void> {
    const browser = new Browser()
    await browser.login(`http://127.0.0.1:${port}/login/acme`)
    const { id } = (await browser.get(`http://127.0.0.1:${port}/`)).json<{ id: string }>()
    t.ok(id, `logged in at ${issuer}`)
  }
})

t.test('lib/preload.ts names every module of lib that is imported later', async (t) => {
  // An app imports neither the provider for tests nor the doctor.
  const others = /^(?:testing|cli\.ts|doctor)/
  const files = (await readdir(join(repository, 'lib'), { recursive: true }))
    .filter(file => file.endsWith('.ts') && !others.test(file))
  const importsOf = async (file: string) => {
    const text = await readFile(join(repository, 'lib', file), 'utf8')
    const paths = [...text.matchAll(/\bimport\('([^']+)'\)/g)].map(([, path]) => path!)
    return paths.filter(path => !path.startsWith('node:')).map(path => path.split('/').at(-1)!)
  }
  const later = (await Promise.all(files.filter(file => file !== 'preload.ts').map(importsOf))).flat()
  const named = await importsOf('preload.ts')
  // For apps that use `request.oauth.signal`, which does not wait for it. For Apple alone, and it needs no more than
  // jose, which id-token.ts imports.
  const unnamed = [...new Set(later)].filter(file => !named.includes(file))
  t.strictSame(unnamed.sort(), ['apple-client-secret.ts', 'login-signals.ts'])
})

/** Puts a package that tells `noteLoading` when it is loaded in the place of another, whose exports it has. */
async function recordLoading (folder: string, name: string): Promise<void> {
  await rm(folder)
  await mkdir(folder)
  const type = name === 'undici' ? 'commonjs' : 'module'
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name, type, main: 'index.js' }))
  const real = require.resolve(name)
  const code = type === 'module'
    ? `export * from '${pathToFileURL(real).href}'`
    : `module.exports = require('${real}')`
  await writeFile(join(folder, 'index.js'), `globalThis.noteLoading('${name}')\n${code}\n`)
}

/** Starts a program beside the installed package; what comes back reads on to the line that has a member. */
async function start (t: Test, folder: string, file: string, program: string) {
  const child = await spawnProgram(t, folder, file, program)
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return async (member: string): Promise<{ port: number, atStart: string[], loaded: string[] }> => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${file} has ended`)
      const shown = JSON.parse(value)
      if (member in shown) return shown
    }
  }
}

async function spawnProgram (t: Test, folder: string, file: string, program: string) {
  await writeFile(join(folder, file), program)
  const stdio = ['ignore', 'pipe', 'inherit'] as ['ignore', 'pipe', 'inherit']
  const child = spawn(process.execPath, [file], { cwd: folder, stdio, env: environment() })
  t.after(() => { child.kill() })
  return child
}
