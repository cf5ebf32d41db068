/** A cookie, as `addCookies` of a Playwright context takes it. */
export interface BrowserCookie {
  /** The name. */
  name: string
  /** The value, as it goes over the wire. */
  value: string
  /** The host. */
  domain: string
  /** The path below which it is sent. */
  path: string
  /** Epoch seconds; -1 for as long as the browser runs. */
  expires: number
  /** Whether scripts cannot read it. */
  httpOnly: boolean
  /** Whether it is sent over https alone. */
  secure: boolean
  /** When it is sent with requests of other sites. */
  sameSite: 'Strict' | 'Lax' | 'None'
}

/** The cookies of one visitor of one app. */
export class Cookies {
  readonly #cookies = new Map<string, BrowserCookie>()

  /** @param given values by name, as `app.inject` takes them */
  constructor (given?: Readonly<Record<string, string>> | null) {
    for (const [name, value] of Object.entries(given ?? {})) this.#put(name, encodeURIComponent(value), new Map())
  }

  /** Takes in the `Set-Cookie` headers of a response. */
  store (headers: string | string[] | undefined): void {
    for (const header of [headers ?? []].flat()) {
      const [pair = '', ...rest] = header.split(';').map(part => part.trim())
      const [name, value] = split(pair)
      this.#put(name, value, new Map(rest.map((part) => {
        const [attribute, setting] = split(part)
        return [attribute.toLowerCase(), setting]
      })))
    }
  }

  /** The `Cookie` header. */
  get header (): string {
    return this.all().map(({ name, value }) => `${name}=${value}`).join('; ')
  }

  /** Values by name, decoded, as `app.inject` takes them. */
  get values (): Record<string, string> {
    return Object.fromEntries(this.all().map(({ name, value }) => [name, decode(value)]))
  }

  /** Those whose time is not over. */
  all (): BrowserCookie[] {
    const now = Date.now() / 1000
    return [...this.#cookies.values()].filter(({ expires }) => expires === -1 || expires > now)
  }

  #put (name: string, value: string, attributes: Map<string, string>): void {
    const maxAge = attributes.get('max-age')
    const expires = attributes.get('expires')
    const end = maxAge !== undefined ? Date.now() / 1000 + Number(maxAge) : Date.parse(expires ?? '') / 1000
    const sameSite = attributes.get('samesite')?.toLowerCase()
    this.#cookies.set(name, {
      name,
      value,
      domain: '',
      path: attributes.get('path') ?? '/',
      expires: Number.isFinite(end) ? end : -1,
      httpOnly: attributes.has('httponly'),
      secure: attributes.has('secure'),
      sameSite: sameSite === 'strict' ? 'Strict' : sameSite === 'none' ? 'None' : 'Lax'
    })
  }
}

function split (pair: string): [string, string] {
  const at = pair.indexOf('=')
  return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
}

function decode (value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
