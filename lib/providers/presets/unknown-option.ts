// Names of other libraries, in lower case, for options of this one.
const ALIASES: Record<string, string> = {
  appid: 'clientId',
  audience: 'resourceServers',
  authorizationurl: 'authorizationEndpoint',
  authorizeurl: 'authorizationEndpoint',
  callback: 'redirectUri',
  callbackuri: 'redirectUri',
  callbackurl: 'redirectUri',
  id: 'clientId',
  issuerurl: 'issuer',
  jwksurl: 'jwksUri',
  key: 'clientId',
  redirecturl: 'redirectUri',
  secret: 'clientSecret',
  timeout: 'requestTimeout',
  tokenurl: 'tokenEndpoint',
  url: 'baseUrl',
  userinfourl: 'userinfoEndpoint'
}

/**
 * The message for an option that does not exist.
 * @param name as it was written
 * @param names those that exist
 */
export function unknownOption (name: string, names: readonly string[]): string {
  const near = nearestName(name, names)
  return near === undefined
    ? 'is no option; take it out'
    : `is no option; did you mean ${near}? Either write ${near} or take it out`
}

/** The name that was most likely meant, or undefined if none is like it. */
export function nearestName (name: string, names: readonly string[]): string | undefined {
  const written = plain(name)
  const same = names.find(item => plain(item) === written)
  if (same !== undefined) return same
  const alias = Object.hasOwn(ALIASES, written) ? ALIASES[written] : undefined
  if (alias !== undefined && names.includes(alias)) return alias
  // Two letters may be wrong in a long name, one in a short one.
  const [best] = names
    .map(item => ({ item, distance: distance(written, plain(item)) }))
    .filter(({ item, distance }) => distance <= (Math.min(item.length, written.length) > 5 ? 2 : 1))
    .sort((a, b) => a.distance - b.distance)
  return best?.item
}

const plain = (name: string) => name.toLowerCase().replaceAll(/[_-]/g, '').slice(0, 64)

/**
 * How many letters have to be put in, taken out, replaced or swapped with their neighbour to make the one the other.
 */
function distance (a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, before[j - 2]! + 1)
      }
    }
    before = last
    last = row
  }
  return last[b.length]!
}
