/**
 * Turns what a request asks to come back to into a path of the app, or undefined where it is anything else.
 * Only a path on the app's own origin is followed; what a browser would read otherwise than we do is refused.
 * @param base the app's public URL
 */
export function safeReturnTo (value: unknown, base: URL): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > 2048) return undefined
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f\\]/.test(value)) return undefined
  if (!value.startsWith('/') && !value.startsWith(`${base.origin}/`)) return undefined
  if (value.startsWith('//') || !URL.canParse(value, base.origin)) return undefined
  const url = new URL(value, base.origin)
  // `/.//evil` is on our origin, and its pathname, sent as a Location, is not.
  if (url.origin !== base.origin || url.username !== '' || url.pathname.startsWith('//')) return undefined
  return url.pathname + url.search + url.hash
}
