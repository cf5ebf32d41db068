import { Random } from './random.ts'
import type { LogoutToken } from './authority.ts'
import type { Ledger } from './ledger.ts'
import type { LoadBalancer } from './traffic.ts'
import { Visitor } from './visitor.ts'

export interface CrowdOptions {
  seed: string | number
  /** Length of the run: no single request takes a large part of it. */
  seconds: number
  /** Browsers. */
  sessions: number
  /** Things that are done in a second, by all of them together. */
  rate: number
  baseUrl: string
  balancer: LoadBalancer
  ledger: Ledger
  /** A logout token of the provider, for the session of a code or for the user. */
  logoutToken: (subject: string, code?: string) => Promise<LogoutToken>
}

/** How often a browser does what. */
const HABITS = {
  call: 50,
  burst: 14,
  'given up': 12,
  write: 10,
  slow: 6,
  long: 2,
  logout: 3,
  destroy: 1,
  relogin: 3,
  tabs: 2,
  replay: 2,
  everywhere: 1,
  'logged out': 2,
  race: 2,
  ghost: 5,
  link: 4,
  'step-up': 3,
  disconnect: 2,
  added: 14
}
/** Every so many browsers, one belongs to the user of the one before: people have two devices. */
const DEVICES = 10

/** Hundreds of browsers that use the app, each by a sequence of its own. */
export class Crowd {
  readonly visitors: Visitor[]
  readonly #options: CrowdOptions
  /** One at a time of what ends or begins the logins of a user, so that it is known how each has to end. */
  readonly #users = new Map<string, Promise<unknown>>()
  readonly #background = new Set<Promise<unknown>>()
  #over = false

  constructor (options: CrowdOptions) {
    this.#options = options
    const { seed, sessions } = options
    this.visitors = Array.from({ length: sessions }, (_, index) => new Visitor({
      ...options,
      subject: `u${index % DEVICES === 1 ? index - 1 : index}`,
      random: new Random(seed, 'balance', index)
    }))
  }

  /** Logs every visitor in, and goes on until `stop()`. Resolves when nothing is under way any more. */
  async run (): Promise<void> {
    await Promise.all(
      this.visitors.map((visitor, index) => this.#live(visitor, new Random(this.#options.seed, 'visitor', index)))
    )
    await Promise.all(this.#background)
  }

  stop (): void { this.#over = true }

  async #live (visitor: Visitor, random: Random): Promise<void> {
    const { sessions, rate } = this.#options
    const think = sessions / rate * 1000
    await sleep(random.next() * Math.min(think * 2, 4_000))
    while (!this.#over) {
      if (visitor.current?.state === 'in') await this.#act(visitor, random)
      else if (await this.#alone(visitor, () => visitor.login()) === undefined) await sleep(200)
      if (!this.#over) await sleep(Math.min(random.exponential(think), think * 5))
    }
  }

  async #act (visitor: Visitor, random: Random): Promise<void> {
    const { ledger, seconds } = this.#options
    switch (random.weighted(HABITS)) {
      case 'call':
        return await visitor.call('/orders')
      case 'burst':
        return await together(Array.from({ length: random.between(3, 8) }, () => visitor.call('/orders')))
      case 'given up':
        return await visitor.call(`/given-up?ms=${random.between(0, 80)}`)
      case 'write':
        return await visitor.call('/write')
      case 'slow':
        return this.#behind(visitor.call(`/slow?ms=${random.between(500, 4_000)}`))
      case 'long':
        return this.#behind(visitor.call(`/long?ms=${random.between(3_000, Math.min(12_000, 3_000 + seconds * 150))}`))
      case 'logout':
        return await this.#alone(visitor, () => visitor.logout())
      case 'destroy':
        return await this.#alone(visitor, () => visitor.logout('/destroy'))
      case 'relogin':
        return await together([this.#alone(visitor, () => visitor.login())])
      case 'tabs':
        return await this.#alone(visitor, () => this.#tabs(visitor))
      case 'replay':
        return await visitor.replay()
      case 'everywhere':
        return await this.#alone(visitor, () => this.#everywhere(visitor, random))
      case 'logged out':
        return await this.#alone(visitor, () => this.#loggedOut(visitor, random))
      case 'race':
        return await this.#alone(visitor, () => this.#race(visitor, random))
      case 'link':
        return await this.#renew(visitor, random, () => visitor.renew('link'))
      case 'step-up':
        return await this.#renew(visitor, random, () => visitor.renew('step-up'))
      case 'disconnect':
        return await this.#renew(visitor, random, () => visitor.disconnect())
      case 'added':
        return await this.#alone(visitor, () => visitor.callAdded())
      case 'ghost': {
        const ghosts = ledger.of(visitor.subject).flatMap((login) => {
          const { state, cookie, formerCookies } = login
          return (state === 'out' ? [cookie, ...formerCookies] : formerCookies).map(cookie => ({ login, cookie }))
        })
        if (ghosts.length === 0) return
        const { login, cookie } = random.pick(ghosts)
        return await visitor.askGhost(login, cookie)
      }
    }
  }

  /** With slow requests of the session before under way, which save it at their end. */
  async #renew (visitor: Visitor, random: Random, work: () => Promise<void>): Promise<void> {
    for (let slow = 0; slow < 2; slow++) this.#behind(visitor.call(`/slow?ms=${random.between(300, 2_500)}`))
    await this.#alone(visitor, work)
  }

  /** Two tabs of one browser log in at once. */
  async #tabs (visitor: Visitor): Promise<void> {
    const callbacks = await Promise.all([visitor.startLogin(), visitor.startLogin()])
    await together(callbacks.map(callback => callback === undefined ? undefined : visitor.finishLogin(callback, false)))
  }

  /** Ends every login of the user, on all devices. */
  async #everywhere (visitor: Visitor, random: Random): Promise<void> {
    const { ledger, balancer } = this.#options
    const logins = ledger.of(visitor.subject).filter(({ state }) => state === 'in')
    for (const login of logins) ledger.leave(login)
    for (let tries = 0; tries < 80; tries++) {
      const answer = await balancer.send(random, { method: 'POST', path: `/everywhere?subject=${visitor.subject}` })
      if (answer.status === 200) {
        for (const login of logins) ledger.end(login, 'out', `everywhere on ${answer.worker}, try ${tries + 1}`)
        ledger.logouts++
        return
      }
      await sleep(250)
    }
    ledger.report('logout impossible', visitor, { path: '/everywhere' })
  }

  /** The provider logs the user out: of the session of this login, or of all. */
  async #loggedOut (visitor: Visitor, random: Random): Promise<void> {
    const { ledger } = this.#options
    const { subject, current } = visitor
    if (current?.state !== 'in') return
    const ofOne = random.chance(0.5)
    const logins = ofOne ? [current] : ledger.of(subject).filter(({ state }) => state === 'in')
    for (const login of logins) ledger.leave(login)
    const on = await this.#sendLogoutToken(random, subject, ofOne ? current.code : undefined)
    if (on !== undefined) for (const login of logins) ledger.end(login, 'out', on)
  }

  /** The provider logs the user out while a callback is under way: the login of that is not made, or has ended. */
  async #race (visitor: Visitor, random: Random): Promise<void> {
    const { ledger } = this.#options
    const { subject } = visitor
    await visitor.logout()
    if (visitor.current?.state === 'in') return
    const callback = await visitor.startLogin()
    if (callback === undefined) return
    const code = random.chance(0.5) ? new URL(callback, 'http://app').searchParams.get('code')! : undefined
    const logins = code === undefined ? ledger.of(subject).filter(({ state }) => state === 'in') : []
    for (const login of logins) ledger.leave(login)
    const [login, on] = await Promise.all([
      visitor.finishLogin(callback), this.#sendLogoutToken(random, subject, code)
    ])
    ledger.races++
    if (on === undefined) return
    for (const ended of [...logins, ...login === undefined ? [] : [login]]) ledger.end(ended, 'out', `race: ${on}`)
  }

  /**
   * Sends a logout token, again and again until the app says that it is carried out, and sometimes once more.
   * @returns where it was carried out; undefined where it never was
   */
  async #sendLogoutToken (random: Random, subject: string, code?: string): Promise<string | undefined> {
    const { ledger, balancer, logoutToken } = this.#options
    const { jwt, sid } = await logoutToken(subject, code)
    const path = '/login/acme/backchannel-logout'
    const send = async () =>
      await balancer.send(random, { method: 'POST', path, form: { logout_token: jwt } })
    const codes: string[] = []
    for (let tries = 0; tries < 80; tries++) {
      const { status, code: answer, text, worker, at } = await send()
      // Carried out before, where that answer was lost.
      const isRepeated = status === 400 && tries > 0 && text.includes('carried out already')
      if (status === 200 || isRepeated) {
        ledger.logoutTokens++
        if (sid !== undefined) ledger.endedSids.set(sid, at)
        if (random.chance(0.3) && (await send()).status === 200) {
          ledger.report('logout token taken twice', { subject, at }, { sid, worker, codes })
        }
        return `logout token for ${sid ?? subject} on ${worker} after ${codes.join(', ') || 'nothing'}`
      }
      codes.push(`${answer} on ${worker}: ${text.slice(0, 80)}`)
      await sleep(250)
    }
    ledger.report('logout impossible', { subject }, { path, codes })
    return undefined
  }

  #behind (work: Promise<unknown>): void {
    this.#background.add(work)
    work.finally(() => this.#background.delete(work)).catch(() => {})
  }

  async #alone<T> ({ subject }: Visitor, work: () => Promise<T>): Promise<T> {
    const turn = (this.#users.get(subject) ?? Promise.resolve()).then(work)
    this.#users.set(subject, turn.catch(() => {}))
    return await turn
  }
}

const together = async (work: Iterable<unknown>): Promise<void> => { await Promise.all(work) }
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
