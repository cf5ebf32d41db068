import { isObject } from '../util/is-object.ts'

const TIMEOUT_MS = 10_000
/** Bytes that are read of a document at most, as by the plugin. */
const MAX_SIZE = 1024 * 1024

/** One answer to a GET, or why there was none. */
export type Answer = { url: string, status: number, headers: Headers, text: string, receivedAt: number } |
  { url: string, failure: string }

/** Fetches a document: limited in time and size, without following redirects. Never throws. */
export async function fetchDocument (url: string): Promise<Answer> {
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/json', 'user-agent': 'fastify-oauth-session doctor' },
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS)
    })
    const receivedAt = Date.now()
    return { url, status: response.status, headers: response.headers, text: await bodyOf(response), receivedAt }
  } catch (error) {
    return { url, failure: reasonOf(error as Error) }
  }
}

async function bodyOf (response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_SIZE) throw new Error(`the answer has more than ${MAX_SIZE} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** The cause says more than fetch's own "fetch failed". */
function reasonOf ({ name, message, cause }: Error): string {
  if (name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} seconds`
  const { code, message: inner } = (cause ?? {}) as { code?: string, message?: string }
  const said = inner === undefined || inner === '' ? message : inner
  return code === undefined || said.includes(code) ? said : `${said} (${code})`
}

/** The members of a JSON object, or undefined for anything else. */
export function jsonObject (text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ''))
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The strings of a list; none if it is no list. */
export function strings (value: unknown): string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
}
