import type { Test } from 'tap'
import { Agent, Dispatcher } from 'undici'

/** Sends what is for servers that a document names to local ones that stand in for them. */
export class StandIns extends Dispatcher {
  /** The beginning of a URL of the document → what stands there in its place. */
  readonly urls: Record<string, string>
  readonly #agent = new Agent()

  constructor (t: Pick<Test, 'after'>, urls: Record<string, string> = {}) {
    super()
    this.urls = urls
    t.after(() => this.destroy())
  }

  /** The local URL for one of the document; others stay as they are. */
  urlOf (url: string): string {
    const found = Object.entries(this.urls).find(([there]) => url.startsWith(there))
    return found === undefined ? url : found[1] + url.slice(found[0].length)
  }

  override dispatch (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const url = String(options.origin) + options.path
    const here = this.urlOf(url)
    const { origin, pathname, search } = new URL(here)
    const target = here === url ? {} : { origin, path: pathname + search }
    return this.#agent.dispatch({ ...options, ...target } as Agent.DispatchOptions, handler)
  }

  override async destroy (): Promise<void> { await this.#agent.destroy() }
}
