import { Agent } from 'undici'
import type { Random } from './random.ts'
import type { Workers } from './processes.ts'

export interface AppRequest {
  method?: 'GET' | 'POST'
  /** Path and query. */
  path: string
  cookie?: string | undefined
  /** The body, as a form. */
  form?: Record<string, string>
}

/** An answer, or that there was none. */
export interface AppAnswer {
  /** 0 where the connection ended before the answer. */
  status: number
  /** Status and, where the answer tells one, the error's code. */
  code: string
  text: string
  location: string | undefined
  setCookie: string[]
  /** Name of the worker that it was sent to. */
  worker: string
  sentAt: number
  at: number
}

const HEADERS = { accept: 'application/json', 'sec-fetch-site': 'same-origin' }
const FORM_HEADERS = { 'content-type': 'application/x-www-form-urlencoded' }
/** Milliseconds after which a request is given up. */
const TIMEOUT_MS = 40_000

/** Stands for the load balancer: any request may go to any worker that looks alive. */
export class LoadBalancer {
  readonly #workers: Workers
  readonly #agent = new Agent({
    connections: null,
    keepAliveTimeout: 1_000,
    keepAliveMaxTimeout: 1_000,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS
  })

  constructor (workers: Workers) {
    this.#workers = workers
  }

  async send (random: Random, { method = 'GET', path, cookie, form }: AppRequest): Promise<AppAnswer> {
    for (;;) {
      const candidates = this.#workers.healthy
      if (candidates.length === 0) {
        await new Promise(resolve => setTimeout(resolve, 50))
        continue
      }
      const { child, life } = random.pick(candidates)
      const sentAt = Date.now()
      const about = { worker: life.name, sentAt }
      try {
        const { statusCode: status, headers, body } = await this.#agent.request({
          origin: child.url,
          path,
          method,
          headers: { ...HEADERS, ...(cookie !== undefined && { cookie }), ...(form !== undefined && FORM_HEADERS) },
          body: form === undefined ? null : new URLSearchParams(form).toString()
        })
        const text = await body.text()
        const setCookie = [headers['set-cookie'] ?? []].flat()
        return {
          ...about,
          status,
          code: codeOf(status, text),
          text,
          location: locationOf(headers.location),
          setCookie,
          at: Date.now()
        }
      } catch (error) {
        // It never got there: a load balancer tries another one.
        if ((error as { code?: string }).code === 'ECONNREFUSED') continue
        return { ...about, status: 0, code: 'no answer', text: '', location: undefined, setCookie: [], at: Date.now() }
      }
    }
  }

  /** A step of the browser's at the provider. Undefined where there was no redirect. */
  async visit (url: string): Promise<string | undefined> {
    const { origin, pathname, search } = new URL(url)
    try {
      const { headers, body } = await this.#agent.request({ origin, path: pathname + search, method: 'GET' })
      await body.dump()
      return locationOf(headers.location)
    } catch {
      return undefined
    }
  }

  async close (): Promise<void> { await this.#agent.destroy() }
}

const locationOf = (location: string | string[] | undefined): string | undefined => [location].flat()[0]

function codeOf (status: number, text: string): string {
  if (status < 400) return String(status)
  const code = /"code":"(\w+)"/.exec(text)?.[1]
  return code === undefined ? String(status) : `${status} ${code}`
}
