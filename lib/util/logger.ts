/** The part of a logger that is used. */
export interface Logger {
  warn (details: object, message: string): void
  info (details: object, message: string): void
}
