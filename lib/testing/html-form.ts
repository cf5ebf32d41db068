const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const characters = Object.fromEntries(Object.entries(entities).map(([character, entity]) => [entity, character]))

function unescapeHtml (text: string): string {
  return text.replace(/&(?:amp|lt|gt|quot|#39|#x27|#x2F);/gi, (entity) =>
    characters[entity.toLowerCase()] ?? String.fromCharCode(parseInt(entity.slice(3, -1), 16)))
}

export interface Form {
  /** As written: relative to the page, empty for the page itself. */
  readonly action: string
  readonly method: 'GET' | 'POST'
  /** What a browser would submit of an untouched form: hidden and prefilled inputs. */
  readonly fields: Record<string, string>
}

/** The first form of a page, by regular expression: enough for pages that we and oidc-provider write. */
export function firstForm (html: string): Form | undefined {
  const found = /<form\b([^>]*)>([\s\S]*?)<\/form>/i.exec(html)
  if (found === null) return undefined

  const { action = '', method = 'get' } = attributes(found[1] ?? '')
  const fields: Record<string, string> = {}
  for (const [, source = ''] of (found[2] ?? '').matchAll(/<input\b([^>]*)>/gi)) {
    const input = attributes(source)
    const unset = ['checkbox', 'radio'].includes(input.type ?? '') && input.checked === undefined
    if (input.name !== undefined && input.type !== 'submit' && !unset) fields[input.name] = input.value ?? ''
  }
  return { action, method: method.toLowerCase() === 'post' ? 'POST' : 'GET', fields }
}

/** The page submits its first form by itself, as soon as there is JavaScript (`response_mode=form_post` does). */
export function submitsItself (html: string): boolean {
  return /<script\b[^>]*>[^<]*\.submit\(\)/i.test(html)
}

/** Where a page leads on to by itself (`<meta http-equiv="refresh">`, without a wait); undefined if it stays. */
export function refreshTarget (html: string): string | undefined {
  const found = /<meta http-equiv="refresh" content="0; url=([^"]*)">/i.exec(html)
  return found === null ? undefined : unescapeHtml(found[1] ?? '')
}

function attributes (source: string): Record<string, string> {
  const pairs = source.matchAll(/([a-z-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/gi)
  return Object.fromEntries([...pairs].map(([, name = '', double, single, bare]) =>
    [name.toLowerCase(), unescapeHtml(double ?? single ?? bare ?? '')]))
}
