/** A cookie as the browser remembers it (RFC 6265). */
export interface Cookie {
  readonly name: string
  readonly value: string
  /** Host name without port: browsers share cookies between all ports of a host. */
  readonly host: string
  readonly path: string
  readonly secure: boolean
  readonly httpOnly: boolean
  readonly sameSite: 'strict' | 'lax' | 'none'
  /** Milliseconds since the epoch; undefined for a session cookie. */
  readonly expires: number | undefined
}

/** What decides whether a cookie goes along, besides the URL. */
export interface CookieContext {
  readonly method: string
  /** The site that started the navigation is another one than its target. */
  readonly crossSite: boolean
}

/** Cookies of any number of hosts. Every cookie is host-only, and Secure ones go to loopback over http as well. */
export class CookieJar {
  readonly #cookies = new Map<string, Cookie>()

  get cookies (): Cookie[] {
    return [...this.#cookies.values()].filter(({ expires = Infinity }) => expires > Date.now())
  }

  set cookies (cookies: Iterable<Cookie>) {
    this.#cookies.clear()
    for (const cookie of cookies) this.put(cookie)
  }

  put (cookie: Cookie): void {
    const key = JSON.stringify([cookie.host, cookie.path, cookie.name])
    // A new value keeps its place, as in a browser; an expired one is how a server deletes.
    if (cookie.expires !== undefined && cookie.expires <= Date.now()) this.#cookies.delete(key)
    else this.#cookies.set(key, cookie)
  }

  /** Takes in the `Set-Cookie` headers of an answer. */
  store (url: URL, headers: readonly string[]): void {
    for (const header of headers) {
      const cookie = parseSetCookie(url, header)
      if (cookie !== undefined) this.put(cookie)
    }
  }

  /** The `Cookie` header for a request, longest path first; undefined for none. */
  header (url: URL, context: CookieContext): string | undefined {
    const matching = this.cookies
      .filter((cookie) => cookie.host === url.hostname && pathMatches(cookie.path, url.pathname))
      .filter((cookie) => siteMatches(cookie, context))
      .sort((a, b) => b.path.length - a.path.length)
    return matching.length === 0 ? undefined : matching.map(({ name, value }) => `${name}=${value}`).join('; ')
  }
}

function parseSetCookie (url: URL, header: string): Cookie | undefined {
  const [pair = '', ...rest] = header.split(';').map((part) => part.trim())
  const [name, value] = split(pair)
  const attributes = new Map(rest.map((part) => {
    const [attribute, setting] = split(part)
    return [attribute.toLowerCase(), setting]
  }))

  const domain = attributes.get('domain')?.replace(/^\./, '')
  if (domain !== undefined && domain !== url.hostname) return undefined

  const path = attributes.get('path')
  const secure = attributes.has('secure')
  // RFC 6265bis, section 4.1.3.2: a browser ignores a __Host- cookie that is not what its name promises.
  if (name.startsWith('__Host-') && !(secure && path === '/' && domain === undefined)) return undefined

  const sameSite = attributes.get('samesite')?.toLowerCase()
  return {
    name,
    value,
    host: url.hostname,
    path: path?.startsWith('/') === true ? path : defaultPath(url),
    secure,
    httpOnly: attributes.has('httponly'),
    sameSite: sameSite === 'strict' || sameSite === 'none' ? sameSite : 'lax',
    expires: expiry(attributes),
  }
}

/** `Max-Age` wins over `Expires`. */
function expiry (attributes: Map<string, string>): number | undefined {
  const maxAge = attributes.get('max-age')
  if (maxAge !== undefined) return Date.now() + Number(maxAge) * 1000
  const expires = attributes.get('expires')
  return expires === undefined ? undefined : Date.parse(expires)
}

function split (pair: string): [string, string] {
  const at = pair.indexOf('=')
  return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
}

/** RFC 6265, section 5.1.4. */
function defaultPath ({ pathname }: URL): string {
  return pathname.slice(0, Math.max(pathname.lastIndexOf('/'), 1))
}

function pathMatches (cookiePath: string, path: string): boolean {
  return path === cookiePath || path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`)
}

/** RFC 6265bis, section 5.2: from another site, Lax comes along with page loads by GET only, Strict never. */
function siteMatches ({ sameSite }: Cookie, { method, crossSite }: CookieContext): boolean {
  return !crossSite || sameSite === 'none' || (sameSite === 'lax' && method === 'GET')
}
