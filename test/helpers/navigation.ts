import { fartherSite, fetchSite, type FetchSite } from './site.ts'

export interface RequestOptions {
  /** Over the browser's own; undefined takes one away. */
  readonly headers?: Record<string, string | undefined>
  /** Default `'follow'`. */
  readonly redirect?: 'follow' | 'manual'
  /** The page whose link, form or script this is; `null` for a URL that the user typed. */
  readonly from?: string | URL | null
  /** `'navigate'` (the default) loads a page; `'cors'` is what a script's fetch() sends. */
  readonly mode?: 'navigate' | 'cors'
}

/** A request of the browser's, and what it remembers of it over redirects. */
export interface Navigation extends Required<Omit<RequestOptions, 'from'>> {
  readonly method: string
  readonly url: URL
  readonly body: string | undefined
  readonly contentType: string | undefined
  readonly initiator: URL | undefined
  readonly site: FetchSite
}

export function isRedirect (status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status)
}

/** Fetch standard, section 4.4: a POST becomes a GET, except where 307 and 308 forbid it. */
export function redirected (navigation: Navigation, status: number, location: string): Navigation {
  const url = new URL(location)
  // A page that goes on by itself starts a navigation of its own.
  if (!isRedirect(status)) {
    const initiator = navigation.url
    const site = fetchSite(initiator, url)
    return { ...navigation, url, initiator, site, method: 'GET', body: undefined, contentType: undefined }
  }
  const site = fartherSite(navigation.site, fetchSite(navigation.initiator, url))
  if (status === 307 || status === 308) return { ...navigation, url, site }
  return { ...navigation, url, site, method: 'GET', body: undefined, contentType: undefined }
}

export function headersOf (
  { method, contentType, initiator, site, mode, headers }: Navigation,
  cookie: string | undefined
): Record<string, string> {
  const page = mode === 'navigate'
  const all: Record<string, string | undefined> = {
    accept: page ? 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' : '*/*',
    'user-agent': 'test-browser',
    'content-type': contentType,
    cookie,
    // Chromium names the origin of everything but GET and HEAD navigations.
    origin: method === 'POST' || (!page && site !== 'same-origin') ? initiator?.origin : undefined,
    referer: initiator === undefined ? undefined : `${initiator.origin}/`,
    'sec-fetch-site': site,
    'sec-fetch-mode': mode,
    'sec-fetch-dest': page ? 'document' : 'empty',
    'sec-fetch-user': page ? '?1' : undefined,
    ...headers,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Record<string, string>
}
