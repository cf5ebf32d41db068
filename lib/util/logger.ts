/** The methods of a logger that are used: `{ err, provider, … }` first, then the message. */
export interface Logger {
  warn (details: object, message: string): void
  info (details: object, message: string): void
}
