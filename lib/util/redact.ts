/** What replaces a secret. */
const REDACTED = '[redacted]'
/** Characters of a text that are searched; far fewer are shown. */
const TEXT_LIMIT = 16_384
/** Characters of an error's text that are shown. */
const SHOWN = 300
/** Secrets that are searched for one by one; others are recognized by their shape. */
const SECRETS_LIMIT = 200
/** Levels of a response that are searched for secrets. */
const DEPTH = 8

/** Members whose values are secrets, at any level. */
const SECRET_MEMBER = /token|secret|password|assertion|credential|jwt|ticket|^(?:device|user|auth\w*)_code$/i
/** Such members whose values are names. */
const NAME_MEMBER = /type$|endpoint|^error/i

/**
 * The secrets in a response: the values of its token members, at any depth. A provider may repeat in an error what it
 * has just issued.
 */
export function secretsIn (members: Record<string, unknown> | undefined): string[] {
  const found = new Set<string>()
  const collect = (value: unknown, secret: boolean, depth: number): void => {
    if (found.size >= SECRETS_LIMIT) return
    if (typeof value === 'string') {
      if (secret) found.add(value)
    } else if (typeof value === 'object' && value !== null && depth < DEPTH) {
      for (const [name, member] of Object.entries(value)) {
        const inList = Array.isArray(value)
        collect(member, inList ? secret : SECRET_MEMBER.test(name) && !NAME_MEMBER.test(name), depth + 1)
      }
    }
  }
  collect(members, false, 0)
  return [...found]
}

/**
 * Makes a provider's text fit for an error, a response or a log: without known secrets, without anything that looks
 * like a token, on one line and bounded.
 * @param secrets values of the request, or of the same response
 */
export function redact (text: string, secrets?: readonly string[]): string {
  return printable(withoutTokens(withoutLabelled(scrub(text, secrets).slice(0, TEXT_LIMIT))))
}

/** The beginning of a text for the log, without tags, labelled tokens and anything that looks like a token. */
export function excerptOfText (text: string, secrets?: readonly string[]): string | undefined {
  // Cut before the search, to bound its time, and after it, so that no part of a secret remains.
  const plain = scrub(text.slice(0, 4 * TEXT_LIMIT), secrets).slice(0, 2000)
    .replace(/("[^"]*(?:token|secret|password|assertion)"\s*:\s*)"[^"]*"?/gi, `$1"${REDACTED}"`)
    .replace(/([\w.-]*(?:token|secret|password|assertion)=)[^&\s]*/gi, `$1${REDACTED}`)
  const excerptable = withoutLabelled(plain)
    .replace(/<[^>]*>/g, ' ')
    .replace(/[\w.~+/=-]{24,}/g, REDACTED)
  const excerpt = printable(withoutTokens(excerptable).replace(/\s+/g, ' ').trim()).slice(0, 120)
  return excerpt === '' ? undefined : excerpt
}

/** A foreign text on one line, bounded. */
export function printable (text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f\u2028\u2029]+/g, ' ').slice(0, SHOWN)
}

/** A foreign text without these secrets. */
export function scrub (text: string, secrets: readonly string[] = []): string {
  // The longest first: a secret may be the beginning of another one.
  for (const secret of [...secrets].sort((a, b) => b.length - a.length)) {
    if (secret.length < 4) continue
    // As it was sent, and as a server may repeat it.
    const inQuery = new URLSearchParams({ s: secret }).toString().slice(2)
    const forms = new Set([secret, encodeURIComponent(Buffer.from(secret).toString()), inQuery])
    for (const form of forms) text = text.replaceAll(form, REDACTED)
  }
  return text
}

// The name of a member of a token response, and what separates it from its value in JSON (escaped or not), XML, YAML or
// dumps.
const LABELLED =
  /((?:access|refresh|id)[_-]?token|client[_-]?secret|code[_-]?verifier)(\\*["']?\s{0,3}(?:=>|[:=>])\s{0,3}\\*["']?)[^\s"'<>&,;\\)]+/gi

/** A text without the values that it labels as tokens or secrets. */
function withoutLabelled (text: string): string {
  return text.replace(LABELLED, `$1$2${REDACTED}`)
}

const ORIGIN_OR_RUN = /https?:\/\/[\w.-]+(?::\d{1,5})?|[A-Za-z0-9_.~+/-]{8,}={0,2}/g

// A token without a label is recognized by its shape.
function withoutTokens (text: string): string {
  return text.replace(ORIGIN_OR_RUN, (run) => {
    if (/^https?:/.test(run)) return run
    // Names have such characters, or capitals within a word, but rarely both.
    const isBase64 = run.length >= 20 && /[-_+/]/.test(run) && /[a-z][A-Z]/.test(run)
    return isBase64 || run.split('/').some(looksLikeToken) ? REDACTED : run
  })
}

/**
 * Whether some characters look like a token and not like a word, a number or a name: letters mixed with digits
 * (`AADSTS70008` and `RFC-6749` are names), words joined by other characters than `_`, or random letters.
 */
function looksLikeToken (run: string): boolean {
  if (run.length < 8) return false
  if (/\d/.test(run)) return /[A-Za-z]/.test(run) ? !/^[A-Z]{2,8}-?\d{1,8}\.?$/.test(run) : /\d{16}/.test(run)
  const letters = run.replace(/[.=]+$/, '')
  if (/^[A-Za-z_]*$/.test(letters)) return letters.split('_').some(word => word.length > 30 || isJumble(word))
  return letters.length >= 16 && letters.split(/[^A-Za-z_]+/).length > 2
}

// In names the case changes where a word begins: `OAuthException`, `GraphMethodException`. In random letters it changes
// more often.
function isJumble (letters: string): boolean {
  const changes = letters.match(/[a-z](?=[A-Z])|[A-Z](?=[a-z])/g) ?? []
  return letters.length >= 12 && changes.length > letters.length / 3.5
}
