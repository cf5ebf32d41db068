// As much of a browser as the demo needs: cookies, redirects, refreshing pages, and forms. No scripts.
import { request } from 'undici'

export interface Page { url: string, status: number, body: string }

export interface Form { action: string, fields: Record<string, string> }

export function createBrowser () {
  // As in a browser: by host, for all ports. The cookies of two servers on one host must not collide.
  const jar = new Map<string, Map<string, { value: string, path: string }>>()

  async function send (url: string, { method = 'GET', accept = 'text/html', headers = {}, body }: {
    method?: 'GET' | 'POST'
    accept?: string
    headers?: Record<string, string>
    body?: string
  }): Promise<Page> {
    for (let hops = 0; hops < 20; hops++) {
      const { hostname, pathname } = new URL(url)
      const response = await request(url, {
        method,
        body,
        headers: { ...headers, accept, cookie: cookiesFor(hostname, pathname) }
      })
      for (const line of [response.headers['set-cookie'] ?? []].flat()) keep(hostname, line)
      const text = await response.body.text()
      // POST /logout leads to the provider from a page.
      const onward =
        accept === 'text/html' ? /<meta http-equiv="refresh" content="0; url=([^"]*)">/.exec(text)?.[1] : undefined
      const redirected = response.statusCode >= 300 && response.statusCode <= 399
      const location = redirected ? response.headers.location : onward?.replaceAll('&amp;', '&')
      if (!location) return { url, status: response.statusCode, body: text }
      url = new URL(String(location), url).href
      if (response.statusCode !== 307 && response.statusCode !== 308) {
        method = 'GET'
        headers = {}
        body = undefined
      }
    }
    throw new Error('The redirects do not end')
  }

  function cookiesFor (hostname: string, pathname: string): string {
    const cookies = [...(jar.get(hostname) ?? [])].filter(
      ([, { path }]) => pathname === path || pathname.startsWith(path.replace(/\/?$/, '/'))
    )
    return cookies.map(([name, { value }]) => `${name}=${value}`).join('; ')
  }

  function keep (hostname: string, line: string): void {
    const [pair = '', ...attributes] = line.split(';').map(part => part.trim())
    const attribute = (name: string) =>
      attributes.find(part => part.toLowerCase().startsWith(`${name}=`))?.slice(name.length + 1)
    const name = pair.slice(0, pair.indexOf('='))
    const value = pair.slice(name.length + 1)
    const cookies = jar.get(hostname) ?? new Map()
    jar.set(hostname, cookies)
    const expires = attribute('expires')
    const gone =
      value === '' || Number(attribute('max-age') ?? 1) <= 0 || (expires && Date.parse(expires) <= Date.now())
    if (gone) cookies.delete(name)
    else cookies.set(name, { value, path: attribute('path') ?? '/' })
  }

  return {
    /** Opens a page, as by typing its address. */
    open: (url: string) => send(url, {}),

    /** Presses the button of a form. */
    submit (url: string, fields: Record<string, string>) {
      const { origin } = new URL(url)
      const headers = { 'content-type': 'application/x-www-form-urlencoded', origin, 'sec-fetch-site': 'same-origin' }
      return send(url, { method: 'POST', headers, body: new URLSearchParams(fields).toString() })
    },

    /** What the page's script does. */
    async call<T> (url: string, headers: Record<string, string> = {}): Promise<{ status: number, body: T }> {
      const { status, body } = await send(url, { accept: 'application/json', headers })
      return { status, body: JSON.parse(body) as T }
    },
  }
}

/** The first form of a page: where it goes, and what its fields hold. */
export function findForm ({ url, body }: Page): Form | undefined {
  const form = /<form\b[^>]*>/.exec(body)?.[0]
  if (!form) return undefined
  const fields: Record<string, string> = {}
  for (const [input] of body.matchAll(/<input\b[^>]*>/g)) {
    const name = attributeOf(input, 'name')
    if (name) fields[name] = attributeOf(input, 'value') ?? ''
  }
  return { action: new URL(attributeOf(form, 'action') ?? '', url).href, fields }
}

function attributeOf (tag: string, name: string): string | undefined {
  return new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1]?.replaceAll('&amp;', '&')
}
