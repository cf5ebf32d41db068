export interface CapturedLog {
  /** What `Fastify({ logger })` takes: level trace, so that nothing escapes the check. */
  readonly logger: { readonly level: 'trace', readonly stream: { write (line: string): void } }
  /** pino's destination: one call a line. */
  write (line: string): void
  /** The parsed lines. */
  readonly lines: Array<Record<string, unknown>>
  /** Everything that was written, as it was written. */
  readonly text: string
  /** Those of `secrets` that the log contains, raw or URL-encoded: to be compared with `[]`. */
  leaked (secrets: Iterable<string>): string[]
}

/** A log kept in memory, for the assertion that no secret is in it. */
export function captureLog (): CapturedLog {
  let text = ''
  return {
    get logger () {
      return { level: 'trace' as const, stream: this }
    },
    write (line) {
      text += line
    },
    get text () {
      return text
    },
    get lines () {
      return text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>)
    },
    leaked (secrets) {
      return [...secrets].filter((secret) => text.includes(secret) || text.includes(encodeURIComponent(secret)))
    },
  }
}
