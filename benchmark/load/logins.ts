/** Whole logins, each of a new browser: the login route, the provider, the callback. */
import type { IncomingHttpHeaders } from 'undici/types/header.js'
import { runAtOnce, type LoadResult } from './at-once.ts'
import { poolFor } from './requests.ts'

export interface LoginLoad {
  origin: string
  /** Of the login route. */
  path: string
  count: number
  atOnce: number
  /** How many of the last logins' cookies are wanted. */
  keep?: number
  /** So many browsers log in again and again, each in place of its last login; without it each login is a new one's. */
  browsers?: number
  /** Each browser has connections of its own to the app, which end with the login. */
  ownConnections?: boolean
}

export interface LoginsResult extends LoadResult {
  /** `Cookie` headers of browsers that are logged in. */
  cookies: string[]
}

interface Answer { status: number, headers: IncomingHttpHeaders }

export async function logInMany (load: LoginLoad): Promise<LoginsResult> {
  const { count, atOnce, keep = 1, browsers = 0 } = load
  const cookies: string[] = []
  const jars = Array.from({ length: browsers }, () => new Map<string, string>())
  const result = await runAtOnce(count, atOnce, async (index) => {
    const cookie = await logIn(load, jars[index % browsers] ?? new Map())
    if (index >= count - keep) cookies.push(cookie)
  })
  return { ...result, cookies }
}

type Jar = Map<string, string>

async function logIn ({ origin, path, atOnce, ownConnections = false }: LoginLoad, jar: Jar): Promise<string> {
  const start = await get(new URL(path, origin), jar, atOnce, ownConnections)
  const authorize = await get(locationOf(start), new Map(), atOnce)
  let answer = await get(locationOf(authorize), jar, atOnce, ownConnections)
  // Each app ends a login at its start page; some go there by another route.
  for (let hops = 0; hops < 3; hops++) {
    const next = answer.headers.location === undefined ? undefined : locationOf(answer, origin)
    if (next === undefined || next.pathname === '/') return cookieHeader(jar)
    answer = await get(next, jar, atOnce, ownConnections)
  }
  throw new Error('the login does not end')
}

/** With `reset`, the connection ends with the response. */
async function get (url: URL, jar: Jar, connections: number, reset = false): Promise<Answer> {
  const { statusCode: status, headers, body } = await poolFor(url.origin, connections).request({
    path: url.pathname + url.search,
    method: 'GET',
    reset,
    headers: { accept: 'text/html', ...(jar.size > 0 && { cookie: cookieHeader(jar) }) }
  })
  if (status >= 400) throw new Error(`${url.pathname} answered ${status}: ${(await body.text()).slice(0, 300)}`)
  await body.dump()
  for (const line of [headers['set-cookie'] ?? []].flat()) storeCookie(jar, line)
  return { status, headers }
}

/** Paths and domains of cookies do not matter here; their end does. */
function storeCookie (jar: Jar, line: string): void {
  const [pair = '', ...attributes] = line.split(';')
  const equals = pair.indexOf('=')
  const name = pair.slice(0, equals)
  const over = attributes.some(attribute => /^ *(max-age=0|expires=\w+, 01 jan 1970)/i.test(attribute))
  if (over) jar.delete(name)
  else jar.set(name, pair.slice(equals + 1))
}

const cookieHeader = (jar: Jar) => Array.from(jar, ([name, value]) => `${name}=${value}`).join('; ')

function locationOf ({ status, headers }: Answer, base?: string): URL {
  if (typeof headers.location !== 'string') throw new Error(`no redirect, but ${status}`)
  return new URL(headers.location, base)
}
