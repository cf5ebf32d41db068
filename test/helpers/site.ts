export type FetchSite = 'none' | 'same-origin' | 'same-site' | 'cross-site'

const byDistance: FetchSite[] = ['none', 'same-origin', 'same-site', 'cross-site']

/** The value of `Sec-Fetch-Site` for a request that a page at `initiator` starts; none where the user typed the URL. */
export function fetchSite (initiator: URL | undefined, target: URL): FetchSite {
  if (initiator === undefined) return 'none'
  if (initiator.origin === target.origin) return 'same-origin'
  const sameSite = initiator.protocol === target.protocol && site(initiator.hostname) === site(target.hostname)
  return sameSite ? 'same-site' : 'cross-site'
}

/** A redirect cannot bring a request nearer: once cross-site, it stays cross-site. */
export function fartherSite (a: FetchSite, b: FetchSite): FetchSite {
  return byDistance[Math.max(byDistance.indexOf(a), byDistance.indexOf(b))] as FetchSite
}

/**
 * Ports do not matter to a site. Without the public suffix list: the last two labels of a name, an address as it is.
 */
function site (hostname: string): string {
  return /^[\d.]+$|^\[/.test(hostname) ? hostname : hostname.split('.').slice(-2).join('.')
}
