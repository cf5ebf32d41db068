/**
 * What an API call costs the app: CPU time of one request to a route that calls `request.oauth.get(url).json()` behind
 * a real session, against the same route with bare `undici.request` in an app without a session. All apps are in this
 * process and are measured in turns, 16 requests at once, sent by a child process; API and provider are another child.
 *
 *   npm run bench
 *
 * Each line is the median over the rounds: microseconds of CPU a request, and the ratio to the first line. The ratio of
 * the last line is the result: at most 1.20. The machine and its load change the microseconds, and hardly the ratio.
 *
 * Environment: ROUNDS (15), REQUESTS of a round (8000), ONLY=raw, session or oauth runs one app alone, for --cpu-prof.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import { Agent, Pool, request } from 'undici'

const CONNECTIONS = 16
const TARGET = 1.20
const ROUNDS = Number(process.env.ROUNDS ?? 15)
const REQUESTS = Number(process.env.REQUESTS ?? 8_000)

interface Load { url: string, headers: Record<string, string>, count: number }
interface Candidate { name: string, app: FastifyInstance, load: Omit<Load, 'count'> }

/** An API, and as much of a provider as a login needs. */
async function serveApi (): Promise<void> {
  const orders = JSON.stringify([{ id: 1, item: 'tea' }, { id: 2, item: 'cake' }])
  let logins = 0
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1')
    if (url.pathname === '/authorize') {
      const location = new URL(url.searchParams.get('redirect_uri') ?? '')
      location.search = new URLSearchParams({ code: 'code', state: url.searchParams.get('state') ?? '' }).toString()
      response.writeHead(302, { location: location.href }).end()
    } else if (url.pathname === '/token') {
      const tokens = {
        access_token: `access-token-${++logins}`,
        token_type: 'Bearer',
        expires_in: 36_000,
        refresh_token: `refresh-token-${logins}`
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(tokens))
    } else if (url.pathname === '/userinfo') {
      const user = { sub: 'alice', name: 'Alice Adams', email: 'alice@example.com' }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(user))
    } else {
      const known = request.headers.authorization?.startsWith('Bearer access-token') === true
      const headers = { 'content-type': 'application/json', 'content-length': orders.length }
      response.writeHead(known ? 200 : 401, headers).end(orders)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.send!((server.address() as AddressInfo).port)
}

/** Sends the requests of each message, 16 at once, and reports when all are answered. */
function generateLoad (): void {
  const run = async ({ url, headers, count }: Load) => {
    const { origin, pathname: path } = new URL(url)
    const pool = new Pool(origin, { connections: CONNECTIONS })
    let left = count
    const work = async () => {
      while (left-- > 0) {
        const { statusCode, body } = await pool.request({ method: 'GET', path, headers })
        const text = await body.text()
        if (statusCode !== 200 || text === '') throw new Error(`${url} answered ${statusCode}: ${text}`)
      }
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, work))
    await pool.close()
    process.send!('done')
  }
  process.on('message', (load: Load) => { void run(load) })
}

function child (role: string): ChildProcess {
  const execArgv = process.execArgv.filter(option => !option.startsWith('--cpu-prof'))
  const forked = fork(fileURLToPath(import.meta.url), [role], { execArgv })
  forked.once('exit', (code) => { if (code !== null) process.exit(1) })
  return forked
}

/** A handler that calls the API by `undici.request`, with a fixed token. */
function rawCall (app: FastifyInstance, api: string): () => Promise<unknown> {
  const agent = new Agent({ connections: 256 })
  const headers = { authorization: 'Bearer access-token-0', accept: 'application/json' }
  app.addHook('onClose', () => agent.destroy())
  return async () => {
    const { body } = await request(`${api}/v1/orders`, { dispatcher: agent, headers })
    return await body.json()
  }
}

async function rawApp (api: string): Promise<Candidate> {
  const app = Fastify()
  app.get('/orders', rawCall(app, api))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { name: 'undici.request, no session', app, load: { url: `${url}/orders`, headers: {} } }
}

/** An app with @fastify/session, as its README sets it up. */
async function appWithSession (): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(cookie)
  await app.register(session, {
    secret: 'a secret with at least 32 characters, for all',
    cookie: { secure: false },
    rolling: false,
    saveUninitialized: false
  })
  return app
}

/** The same call in an app with a session that it does not use: what the session costs by itself. */
async function sessionApp (api: string): Promise<Candidate> {
  const app = await appWithSession()
  const call = rawCall(app, api)
  app.get('/login', async request => {
    request.session.oauth = { accounts: {}, active: 'acme' }
    return 'ok'
  })
  app.get('/orders', call)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const login = await request(`${url}/login`)
  await login.body.dump()
  const headers = { cookie: cookiesOf(login.headers) }
  return { name: 'undici.request, session', app, load: { url: `${url}/orders`, headers } }
}

async function oauthApp (api: string): Promise<Candidate> {
  // Imported here, so that the child processes do not load it.
  const { default: oauth } = await import('../lib/index.ts')
  const app = await appWithSession()
  let url = ''
  await app.register(oauth, {
    baseUrl: () => url,
    providers: {
      acme: {
        authorizationEndpoint: `${api}/authorize`,
        tokenEndpoint: `${api}/token`,
        userinfoEndpoint: `${api}/userinfo`,
        clientId: 'client',
        clientSecret: 'secret',
        resourceServers: [`${api}/v1/`]
      }
    }
  })
  app.get('/orders', async (request) => request.oauth.get('orders').json())
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { name: 'request.oauth, session', app, load: { url: `${url}/orders`, headers: { cookie: await logIn(url) } } }
}

async function logIn (url: string): Promise<string> {
  const start = await request(`${url}/login/acme`)
  await start.body.dump()
  const authorized = await request(String(start.headers.location))
  await authorized.body.dump()
  const callback = await request(String(authorized.headers.location), { headers: { cookie: cookiesOf(start.headers) } })
  await callback.body.dump()
  return cookiesOf(callback.headers)
}

function cookiesOf (headers: Record<string, string | string[] | undefined>): string {
  const pairs = [headers['set-cookie'] ?? []].flat().map(line => line.split(';', 1)[0]!)
  return pairs.filter(pair => !pair.endsWith('=')).join('; ')
}

/** CPU of this process, in microseconds for each request. */
async function measure (loader: ChildProcess, load: Omit<Load, 'count'>, count: number): Promise<number> {
  const before = process.cpuUsage()
  loader.send({ ...load, count })
  await once(loader, 'message')
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!

async function main (): Promise<void> {
  const apiServer = child('api')
  const [port] = await once(apiServer, 'message') as [number]
  const api = `http://127.0.0.1:${port}`
  const loader = child('load')
  const makers = { raw: rawApp, session: sessionApp, oauth: oauthApp }
  const only = process.env.ONLY as keyof typeof makers | undefined
  const candidates = await Promise.all(
    Object.entries(makers)
      .filter(([name]) => only === undefined || name === only)
      .map(([, make]) => make(api))
  )

  const results = candidates.map((): number[] => [])
  for (const { load } of candidates) await measure(loader, load, REQUESTS * 2)
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { load }] of candidates.entries()) results[index]!.push(await measure(loader, load, REQUESTS))
  }
  const [base = []] = results
  for (const [index, { name }] of candidates.entries()) {
    // The ratio is taken within each round: what slows the machine down slows both.
    const ratio = median(results[index]!.map((value, round) => value / base[round]!))
    console.log(`${name.padEnd(28)} ${median(results[index]!).toFixed(1).padStart(7)} µs  ${ratio.toFixed(3)}`)
  }
  if (only === undefined) console.log(`The last ratio may be at most ${TARGET.toFixed(2)}.`)
  await Promise.all(candidates.map(({ app }) => app.close()))
  loader.kill()
  apiServer.kill()
}

const [role] = process.argv.slice(2)
if (role === 'api') await serveApi()
else if (role === 'load') generateLoad()
else await main()
