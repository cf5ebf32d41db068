/** What has to be closed after a case, in the place of a test. */
export class Cleanup {
  readonly #work: (() => unknown)[] = []

  after (work: () => unknown): void { this.#work.push(work) }

  /** The newest first. */
  async run (): Promise<void> {
    while (this.#work.length > 0) await this.#work.pop()!()
  }
}

/** Does some work and closes what it opened, whatever comes of it. */
export async function withCleanup<T> (work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup()
  try {
    return await work(cleanup)
  } finally {
    await cleanup.run()
  }
}

/** Does some work as if it were later: for everything that asks Date.now(). */
export async function later<T> (seconds: number, work: () => Promise<T>): Promise<T> {
  const { now } = Date
  Date.now = () => now.call(Date) + seconds * 1000
  try {
    return await work()
  } finally {
    Date.now = now
  }
}
