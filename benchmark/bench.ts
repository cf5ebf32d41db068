/** The processes that all measures share, and what a contestant needs of them. */
import type { AppContext } from './apps/context.ts'
import type { Contestant } from './contestants.ts'
import type { LoadResult } from './load/at-once.ts'
import type { LoginLoad, LoginsResult } from './load/logins.ts'
import type { RequestLoad } from './load/requests.ts'
import type { SteadyLoad, SteadyResult } from './load/steady.ts'
import type { Options } from './options.ts'
import { endPeer, startPeer } from './processes.ts'
import type { Peer } from './rpc.ts'
import type { ProviderCounts, ProviderSettings } from './servers/provider.ts'

export type AppSettings = Pick<AppContext, 'providers' | 'redis'>

export interface RunningApp {
  readonly peer: Peer
  readonly origin: string
}

export class Bench {
  readonly options: Options
  readonly #servers: Peer
  readonly #load: Peer
  readonly #urls: { provider: string, api: string }

  private constructor (options: Options, servers: Peer, load: Peer, urls: { provider: string, api: string }) {
    this.options = options
    this.#servers = servers
    this.#load = load
    this.#urls = urls
  }

  static async start (options: Options): Promise<Bench> {
    const servers = await startPeer('servers/main.js', { core: 'others' })
    const load = await startPeer('load/main.js', { core: 'others' })
    return new Bench(options, servers, load, await servers.call('urls'))
  }

  end (): void {
    endPeer(this.#servers)
    endPeer(this.#load)
  }

  async startApp (contestant: Contestant, settings: AppSettings = {}, nodeOptions: string[] = []): Promise<RunningApp> {
    const args = [contestant.app, JSON.stringify({ ...this.#urls, ...settings })]
    const peer = await startPeer('apps/main.js', { core: 'app', args, nodeOptions })
    return { peer, origin: await peer.call<string>('origin') }
  }

  endApp ({ peer }: RunningApp): void {
    endPeer(peer)
  }

  async sendRequests (load: RequestLoad): Promise<LoadResult> {
    return this.#load.call('sendRequests', load)
  }

  async sendSteadily (load: SteadyLoad): Promise<SteadyResult> {
    return this.#load.call('sendSteadily', load)
  }

  async logInMany (load: LoginLoad): Promise<LoginsResult> {
    return this.#load.call('logInMany', load)
  }

  async setProvider (settings: Partial<ProviderSettings>): Promise<void> {
    await this.#servers.call('set', settings)
  }

  async takeCounts (): Promise<ProviderCounts> {
    return this.#servers.call('takeCounts')
  }

  /** An access token for which no app has a login. */
  async issueToken (): Promise<{ accessToken: string, sub: string }> {
    return this.#servers.call('issueToken')
  }

  /** Whether a login succeeds whose ID token has a wrong signature. */
  async acceptsForgedIdToken ({ login: path = '', me = '' }: Contestant, { origin }: RunningApp): Promise<boolean> {
    await this.setProvider({ forge: true })
    try {
      const { failed, cookies: [cookie = ''] } = await this.logInMany({ origin, path, count: 1, atOnce: 1 })
      return failed === 0 && await userOf(origin + me, cookie) !== undefined
    } finally {
      await this.setProvider({ forge: false })
    }
  }

  /** Cookies of so many browsers that are logged in, each a user. Checked: the app says who each one is. */
  async logIn (contestant: Contestant, { origin }: RunningApp, count: number): Promise<string[]> {
    const { login: path = '', me = '' } = contestant
    const result = await this.logInMany({ origin, path, count, atOnce: Math.min(count, 8), keep: count })
    if (result.failed > 0) throw new Error(`a login failed: ${result.firstFailure}`)
    const users = await Promise.all(result.cookies.map(async cookie => userOf(origin + me, cookie)))
    if (users.some(user => typeof user !== 'string' || !user.startsWith('user-'))) throw new Error('not logged in')
    if (new Set(users).size !== count) throw new Error('two browsers are the same user')
    return result.cookies
  }
}

async function userOf (url: string, cookie: string): Promise<unknown> {
  const response = await fetch(url, { headers: { cookie } })
  if (response.status !== 200) return undefined
  return (await response.json() as { sub?: unknown }).sub
}
