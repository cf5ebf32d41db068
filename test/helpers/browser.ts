import type { IncomingHttpHeaders } from 'node:http'
import type { BrowserCookie } from '../../lib/testing.ts'
import { CookieJar, type Cookie } from './cookie-jar.ts'
import { firstForm, refreshTarget, submitsItself } from './html.ts'
import { exchange, exchangeOverHttp2 } from './http-exchange.ts'
import { headersOf, isRedirect, redirected, type Navigation, type RequestOptions } from './navigation.ts'
import { fetchSite } from './site.ts'
import { users } from './users.ts'

/** An answer, as the user sees it. */
export interface Page {
  readonly url: string
  readonly method: string
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly requestHeaders: Record<string, string>
  readonly text: string
  /** Where a redirect leads, or a page that goes on by itself; absolute. */
  readonly location: string | undefined
  json<T = any> (): T
}

export interface PostOptions extends RequestOptions {
  readonly form?: Record<string, string> | URLSearchParams
  readonly json?: unknown
}

export interface LoginOptions extends RequestOptions {
  /** Default `alice`. */
  readonly user?: string
  /** Default the user's own. */
  readonly password?: string
}

const maxRedirects = 20

/**
 * A user agent without JavaScript: cookies, redirects, forms, and the headers by which servers tell one site from
 * another.
 */
export class Browser {
  /** Every answer, redirects included, in order. */
  readonly history: Page[] = []
  readonly jar = new CookieJar()
  /** Servers that speak HTTP/2 alone. */
  readonly http2Origins = new Set<string>()
  readonly #navigations = new WeakMap<Page, Navigation>()

  /** What is on the screen: the last page that was loaded. */
  page: Page | undefined

  /** Another browser with the same cookies. */
  copy (): Browser {
    const copy = new Browser()
    copy.cookies = this.cookies
    for (const origin of this.http2Origins) copy.http2Origins.add(origin)
    return copy
  }

  get cookies (): Cookie[] { return this.jar.cookies }
  set cookies (cookies: Iterable<Cookie>) { this.jar.cookies = cookies }

  /** Takes in cookies of `loginAs`. */
  addCookies (cookies: readonly BrowserCookie[]): void {
    for (const { domain, expires, sameSite, ...rest } of cookies) {
      this.jar.put({
        ...rest,
        host: domain,
        sameSite: sameSite.toLowerCase() as Cookie['sameSite'],
        expires: expires === -1 ? undefined : expires * 1000
      })
    }
  }

  /** All cookies as one header, for a request that does not go through this browser. */
  get cookieHeader (): string {
    return this.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  }

  /** The value of the first cookie of that name. */
  cookie (name: string): string | undefined {
    return this.cookies.find((cookie) => cookie.name === name)?.value
  }

  /** Goes to a URL; typed, unless `from` says which page led there. Relative URLs are relative to the current page. */
  get (url: string, options: RequestOptions = {}): Promise<Page> {
    return this.#start('GET', url, null, options)
  }

  /** Sends a form (or JSON), from the current page unless `from` says otherwise. */
  post (url: string, { form, json, ...options }: PostOptions = {}): Promise<Page> {
    const body = json === undefined ? new URLSearchParams(form).toString() : JSON.stringify(json)
    const contentType = json === undefined ? 'application/x-www-form-urlencoded' : 'application/json'
    return this.#start('POST', url, this.page?.url ?? url, options, body, contentType)
  }

  /** Takes one step from a redirect that was got with `redirect: 'manual'`, or all steps that are left. */
  async follow (page: Page, { redirect = 'follow' }: Pick<RequestOptions, 'redirect'> = {}): Promise<Page> {
    const navigation = this.#navigations.get(page)
    if (navigation === undefined || page.location === undefined) throw new Error(`no redirect: ${describe(page)}`)
    return this.#load({ ...redirected(navigation, page.status, page.location), redirect })
  }

  /** Submits the first form of a page with its own fields and these. */
  submitForm (page: Page, fields: Record<string, string> = {}, options: RequestOptions = {}): Promise<Page> {
    const form = firstForm(page.text)
    if (form === undefined) throw new Error(`no form: ${describe(page)}`)
    const url = new URL(form.action, page.url)
    const values = new URLSearchParams({ ...form.fields, ...fields })
    const settings = { from: page.url, ...options }
    if (form.method === 'POST') return this.post(url.href, { form: values, ...settings })
    url.search = values.toString()
    return this.get(url.href, settings)
  }

  /** Walks a whole login, from the app to the provider and back, and returns where it ended. */
  async login (
    url: string,
    { user = 'alice', password = users[user]?.password ?? '', ...options }: LoginOptions = {}
  ): Promise<Page> {
    const page = await this.#runScripts(await this.get(url, options))
    // A user whom the provider remembers is not asked again.
    if (!/<input type="password"/.test(page.text)) return page
    return this.#runScripts(await this.submitForm(page, { login: user, password }))
  }

  /** Posts to the app's logout route, says yes at the provider where it asks, and returns where it ended. */
  async logout (url: string, options: PostOptions = {}): Promise<Page> {
    const page = await this.#runScripts(await this.post(url, options))
    return /name="logout"/.test(page.text) ? this.submitForm(page) : page
  }

  /** The only script that this browser knows: a page that submits its form as soon as it is loaded. */
  async #runScripts (page: Page): Promise<Page> {
    for (let submitted = 0; submitted < maxRedirects && submitsItself(page.text); submitted++) {
      page = await this.submitForm(page)
    }
    return page
  }

  #start (
    method: string,
    url: string,
    initiator: string | null,
    options: RequestOptions,
    body?: string,
    contentType?: string
  ): Promise<Page> {
    const {
      headers = {},
      redirect = 'follow',
      mode = 'navigate',
      from = mode === 'cors' ? (this.page?.url ?? url) : initiator
    } = options
    const target = new URL(url, this.page?.url)
    const origin = from === null ? undefined : new URL(from, target)
    return this.#load({
      method,
      url: target,
      headers,
      redirect,
      mode,
      body,
      contentType,
      initiator: origin,
      site: fetchSite(origin, target)
    })
  }

  async #load (navigation: Navigation): Promise<Page> {
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const page = await this.#send(navigation)
      if (page.location === undefined || navigation.redirect === 'manual') {
        if (navigation.mode === 'navigate' && page.location === undefined) this.page = page
        return page
      }
      navigation = redirected(navigation, page.status, page.location)
    }
    throw new Error(`more than ${maxRedirects} redirects, now at ${navigation.url.href}`)
  }

  async #send (navigation: Navigation): Promise<Page> {
    const { method, url, body, initiator } = navigation
    const crossSite = fetchSite(initiator, url) === 'cross-site'
    const requestHeaders = headersOf(navigation, this.jar.header(url, { method, crossSite }))
    const send = this.http2Origins.has(url.origin) ? exchangeOverHttp2 : exchange
    const { status, headers, text } = await send(url, { method, headers: requestHeaders, body })
    this.jar.store(url, headers['set-cookie'] ?? [])

    const target = isRedirect(status)
      ? headers.location
      : navigation.mode === 'navigate'
        ? refreshTarget(text)
        : undefined
    const page: Page = {
      url: url.href,
      method,
      status,
      headers,
      requestHeaders,
      text,
      location: target === undefined ? undefined : new URL(target, url).href,
      json: () => JSON.parse(text),
    }
    this.#navigations.set(page, navigation)
    this.history.push(page)
    return page
  }
}

function describe ({ method, url, status, text }: Page): string {
  return `${method} ${url} answered ${status}\n${text.slice(0, 1000)}`
}
