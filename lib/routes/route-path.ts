// Two ways to write one path: as a URL has it, percent-encoded, and as Fastify's router takes it, decoded and with `:`
// and `*` for what varies. Redirect URIs and links have the first, routes the second.

/** Escapes that the router leaves as they are in what it compares: `/`, `?`, `:` and their kind. */
const RESERVED_ESCAPE = /%(?:2[3-46BCF]|3[ABDF]|40)/i

/**
 * The path of a URL as a route that matches it and nothing else.
 * @returns undefined where its escapes cannot be decoded
 */
export function literalRoute (path: string): string | undefined {
  const segments = path.split('/').map(literalSegment)
  return segments.includes(undefined) ? undefined : segments.join('/')
}

/** A route path of the options, written as in a URL; segments with a parameter stay as they are. */
export function routePattern (path: string): string {
  return path
    .split('/')
    .map((segment, index) => (segment.includes(':') ? segment : (literalSegment(segment, index) ?? segment)))
    .join('/')
}

// What the router cannot have as plain text is a parameter that has one value.
function literalSegment (segment: string, index: number): string | undefined {
  const text = decode(segment)
  if (text === undefined) return undefined
  if (!RESERVED_ESCAPE.test(segment) && !text.includes('*')) return text.replaceAll(':', '::')
  const pattern = text
    .split('')
    .map(character =>
      /\w/.test(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
    )
  return `:literal${index}(^${pattern.join('')}$)`
}

/**
 * What stands below a base in a path, both as in a URL.
 * @returns the rest with a slash before it, empty where the two are the same, or undefined where it is not below
 */
export function pathBelow (path: string, base: string): string | undefined {
  const parts = path.split('/')
  const first = base.replace(/\/+$/, '').split('/')
  if (first.some((segment, index) => parts[index] === undefined || decode(segment) !== decode(parts[index]))) {
    return undefined
  }
  const rest = parts.slice(first.length)
  return rest.length === 0 ? '' : `/${rest.join('/')}`
}

function decode (segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
