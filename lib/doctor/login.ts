import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import oauth, { type OAuthError, type TokenSet } from '../index.ts'
import { isKeyed, type Subject } from './subject.ts'
import { UsageError } from './usage-error.ts'

/** One thing that a login has shown, or not. */
export interface Step {
  step: 'login' | 'userinfo' | 'refresh' | 'logout'
  /** `skipped`: there was nothing to prove. */
  result: 'ok' | 'failed' | 'skipped'
  /** What was seen, or what to do. It holds no token. */
  message: string
}

/** How a login is run. */
export interface LoginSettings {
  host: string
  port: number
  /** Seconds. */
  timeout: number
  scope: string | undefined
  /** Whether the provider has an address for the logout there. */
  endsSessions: boolean
  hasUserinfo: boolean
  /** Progress, for a person. */
  say: (line: string) => void
}

const STYLE = 'font: 1.1rem/1.5 system-ui; max-width: 34rem; margin: 4rem auto'
const page = (title: string, body: string) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${title}</title>
<body style="${STYLE}"><h1>${title}</h1>${body}</body></html>`

/**
 * Logs a person in at the provider with the plugin itself, in an app on this machine, refreshes, and logs out.
 * @returns what was proven, in order; the last one may have failed
 * @throws UsageError if the app cannot be started
 */
export async function proveLogin (subject: Subject, settings: LoginSettings): Promise<Step[]> {
  const { timeout, say } = settings
  const steps: Step[] = []
  const { promise: ended, resolve: end } = deferred()
  const add = (step: Step) => {
    steps.push(step)
    say(`${MARKS[step.result]} ${step.step}: ${step.message}`)
  }
  const { app, url } = await start(subject, settings, { add, end })
  const stopped = () => {
    add({ step: lastOf(steps), result: 'failed', message: 'stopped' })
    end()
  }
  process.once('SIGINT', stopped)
  const timer = setTimeout(() => {
    add({ step: lastOf(steps), result: 'failed', message: waitedFor(lastOf(steps), timeout, url) })
    end()
  }, timeout * 1000)
  say(`Open this address in a browser:\n\n  ${url}/\n\nRegistered at the provider have to be:\n`)
  say(`  redirect URI   ${url}/login/${subject.name}/callback`)
  if (settings.endsSessions) say(`  after logout   ${url}/logout/callback`)
  if (isPublic(subject)) say('\nCLIENT_SECRET is not set: this is the login of a public client, which has no secret.')
  say('')
  await ended
  clearTimeout(timer)
  process.off('SIGINT', stopped)
  await app.close()
  return steps
}

function isPublic ({ given, options }: Subject): boolean {
  return options.clientSecret === undefined && !isKeyed(given) && options.clientCertificate === undefined
}

const MARKS = { ok: '✓', failed: '✗', skipped: '–' }

/** What is being waited for. */
function lastOf (steps: readonly Step[]): Step['step'] {
  return steps.some(({ step }) => step === 'login') ? 'logout' : 'login'
}

function waitedFor (step: Step['step'], timeout: number, url: string): string {
  return step === 'login'
    ? `nobody logged in within ${timeout} seconds; does the provider show an error? Compare client id and redirect ` +
      'URI there'
    : `the browser did not come back within ${timeout} seconds; is ${url}/logout/callback registered at the provider?`
}

interface Course {
  add: (step: Step) => void
  end: () => void
}

async function start (
  { name, options }: Subject, settings: LoginSettings, { add, end }: Course
): Promise<{ app: FastifyInstance, url: string }> {
  const { host, port, scope } = settings
  const [{ default: Fastify }, { default: cookie }, { default: session }] = await peers()
  const app = Fastify()
  let url = ''
  const isProven = { refresh: false }
  await app.register(cookie)
  await app.register(session, {
    secret: randomBytes(32).toString('hex'),
    cookie: { secure: 'auto' },
    rolling: false,
    saveUninitialized: false
  })
  try {
    await app.register(oauth, {
      baseUrl: () => url,
      providers: { [name]: { ...options, ...(scope !== undefined && { scope }) } },
      onLogin: async (_request, _reply, { user, tokens }) => {
        add({ step: 'login', result: 'ok', message: `${describeUser(user)}; ${describeTokens(tokens)}` })
      },
      onError: async (_request, _reply, error) => {
        add({ step: 'login', result: 'failed', message: describeError(error) })
        setImmediate(end)
      }
    })
    app.get('/', async (request, reply) => {
      if (!request.oauth.authenticated) return await request.oauth.login(reply, { returnTo: '/' })
      if (!isProven.refresh) {
        isProven.refresh = true
        await proveTokens(request, settings, add)
      }
      const form = '<form method="post" action="/logout"><input type="hidden" name="returnTo" value="/done">' +
        '<button>Log out</button></form>'
      reply.type('text/html')
      return page('Logged in', `<p>What was seen is in the terminal.</p>${form}`)
    })
    app.get('/done', async (request, reply) => await finish(request, reply, add, end))
    await app.listen({ port, host: '127.0.0.1' })
  } catch (error) {
    await app.close()
    throw new UsageError(startError(error as NodeJS.ErrnoException, port))
  }
  url = `http://${host}:${(app.server.address() as AddressInfo).port}`
  return { app: app as unknown as FastifyInstance, url }
}

async function peers () {
  try {
    return await Promise.all([import('fastify'), import('@fastify/cookie'), import('@fastify/session')])
  } catch {
    const names = 'fastify, @fastify/cookie and @fastify/session'
    throw new UsageError(`--login needs ${names} beside this package: install them`)
  }
}

function startError ({ code, message }: NodeJS.ErrnoException, port: number): string {
  return code === 'EADDRINUSE' ? `port ${port} is taken; give another one with --port` : message
}

/** Asks userinfo with the token, refreshes it, and asks again. */
async function proveTokens (
  request: FastifyRequest, { hasUserinfo }: LoginSettings, add: Course['add']
): Promise<void> {
  if (hasUserinfo) {
    await attempt('userinfo', add, async () => {
      await request.oauth.userinfo()
      return 'the access token is taken'
    })
  }
  const before = await request.oauth.tokens()
  if (before.refreshToken === undefined) {
    const message = 'no refresh token came; many providers want the scope offline_access, or a setting of the client'
    return add({ step: 'refresh', result: 'skipped', message })
  }
  await attempt('refresh', add, async () => {
    const after = await request.oauth.refresh()
    const rotates = after.refreshToken !== before.refreshToken
    const access = after.accessToken === before.accessToken ? 'the same access token' : 'a new access token'
    return `it brought ${access}, and ${rotates ? 'a new refresh token (they rotate)' : 'no new refresh token'}`
  })
}

async function attempt (step: Step['step'], add: Course['add'], run: () => Promise<string>): Promise<void> {
  try {
    add({ step, result: 'ok', message: await run() })
  } catch (error) {
    add({ step, result: 'failed', message: describeError(error as OAuthError) })
  }
}

async function finish (
  request: FastifyRequest, reply: FastifyReply, add: Course['add'], end: Course['end']
): Promise<string> {
  reply.type('text/html')
  if (request.oauth.authenticated) return page('Still logged in', '<p><a href="/">Back</a></p>')
  add({ step: 'logout', result: 'ok', message: 'the browser is back, and nobody is logged in' })
  reply.raw.once('close', end)
  return page('Logged out', '<p>That is all: this page can be closed.</p>')
}

function describeUser (user: { id: string, name?: string, email?: string, emailVerified?: boolean } | null): string {
  if (user === null) return 'nobody is known by these tokens'
  const { emailVerified } = user
  const email = user.email === undefined
    ? 'no address'
    : emailVerified === undefined ? 'an address' : `an address that is ${emailVerified ? '' : 'not '}verified`
  return `the user has an id, ${user.name === undefined ? 'no name' : 'a name'} and ${email}`
}

function describeTokens ({ tokenType, expiresAt, refreshToken, idToken, scope }: TokenSet): string {
  const life = expiresAt === undefined ? 'no end' : `${Math.round(expiresAt - Date.now() / 1000)} seconds to live`
  const brought = [`a ${tokenType} token with ${life}`]
  if (refreshToken !== undefined) brought.push('a refresh token')
  if (idToken !== undefined) brought.push('an ID token')
  return `${brought.join(', ')}; scope: ${scope.join(' ') || 'none named'}`
}

/** Errors of the plugin hold no secrets; others are not shown. */
function describeError ({ code, message, oauthErrorDescription: said }: OAuthError): string {
  if (typeof code !== 'string' || !code.startsWith('FST_OAUTH_')) return 'an unexpected error'
  return `${code}: ${message}${said === undefined ? '' : ` ("${said}")`}`
}

function deferred (): { promise: Promise<void>, resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>(_resolve => { resolve = _resolve })
  return { promise, resolve }
}
