import { CookieJar } from '../helpers/cookie-jar.ts'
import type { Login } from './journal.ts'
import type { Ledger } from './ledger.ts'
import type { Random } from './random.ts'
import type { AppAnswer, AppRequest, LoadBalancer } from './traffic.ts'

export interface VisitorOptions {
  subject: string
  random: Random
  balancer: LoadBalancer
  ledger: Ledger
  /** The app's public URL. */
  baseUrl: string
}

const SESSION = 'sessionId'
/** Tries for an answer that is neither yes nor no, and milliseconds between them. */
const TRIES = 80
const TRY_MS = 250
const UNDECIDED: ReadonlySet<string> = new Set(['in', 'leaving'])

/** One browser of one user: its cookies, and what it does at the app. */
export class Visitor {
  readonly subject: string
  readonly jar = new CookieJar()
  /** The login whose cookie the browser was given last. */
  current: Login | undefined
  readonly #random: Random
  readonly #balancer: LoadBalancer
  readonly #ledger: Ledger
  readonly #base: URL
  readonly #checking = new Map<Login, Promise<void>>()
  /** The last answers that changed the session cookie. */
  readonly #changes: Record<string, unknown>[] = []
  #lastCallback: { path: string, cookie: string | undefined } | undefined

  constructor ({ subject, random, balancer, ledger, baseUrl }: VisitorOptions) {
    this.subject = subject
    this.#random = random
    this.#balancer = balancer
    this.#ledger = ledger
    this.#base = new URL(baseUrl)
  }

  /** The session cookie that the browser would send now. */
  get cookie (): string | undefined { return this.jar.cookies.find(({ name }) => name === SESSION)?.value }

  /** Sends a request with the browser's cookies, keeps those it gets, and checks what it says of the login. */
  async request (request: Omit<AppRequest, 'cookie'>): Promise<AppAnswer> {
    const sentWith = this.cookie
    const login = this.#ledger.find(sentWith)
    const wasIn = login?.state === 'in'
    const answer = await this.#send(request)
    this.#keepPlace(request, sentWith, answer)
    if (login !== undefined && wasIn) await this.#judge(login, answer, sentWith)
    return answer
  }

  /** One call, and what became of it. */
  async call (path: string): Promise<void> {
    const answer = await this.request({ path })
    this.#ledger.count(this.#ledger.calls, answer.text === '{"givenUp":true}' ? 'given up' : answer.code)
  }

  async login (): Promise<Login | undefined> {
    const callback = await this.startLogin()
    return callback === undefined ? undefined : await this.finishLogin(callback)
  }

  /** Goes to the provider and back; returns where it sends the browser: a path of the app. */
  async startLogin (): Promise<string | undefined> {
    this.#ledger.loginsStarted++
    const start = await this.#send({ path: '/login/acme' })
    if (start.status !== 302) return this.#failed(`login route ${start.code}`)
    const back = await this.#balancer.visit(`${start.location}&login_as=${this.subject}`)
    if (back === undefined) return this.#failed('provider away')
    const { pathname, search } = new URL(back)
    return pathname + search
  }

  /**
   * Comes back from the provider. A login that the browser had before is over then.
   * @param alone no other tab of this browser comes back at the same time
   */
  async finishLogin (path: string, alone = true): Promise<Login | undefined> {
    const code = new URL(path, this.#base).searchParams.get('code')!
    const before = this.#ledger.find(this.cookie)
    if (before?.state === 'in') this.#ledger.leave(before)
    const cookies = this.#cookieHeader()
    const answer = await this.#balancer.send(this.#random, { path, cookie: cookies })
    // Cookie and login change in one step: other requests of this browser are under way.
    this.#store(path, answer)
    if (before !== undefined) before.settledAt = answer.at
    const cookie = cookieIn(answer)
    if (answer.status !== 302 || cookie === undefined) {
      if (before !== undefined) this.#noteUnknownOutcome(before, answer, alone)
      return this.#failed(`callback ${answer.code}`)
    }
    if (before !== undefined && UNDECIDED.has(before.state)) {
      this.#ledger.end(before, 'out', `replaced on ${answer.worker}`)
    }
    this.#lastCallback = { path, cookie: cookies }
    this.current = this.#ledger.open({ subject: this.subject, code, cookie, at: answer.at })
    return this.current
  }

  /**
   * Adds the account at the second provider to the login, or steps the login up. Either way it goes on in another
   * session, while slower requests of the one before are under way.
   */
  async renew (how: 'link' | 'step-up'): Promise<void> {
    const login = this.current
    if (login?.state !== 'in' || this.cookie !== login.cookie) return
    const start = await this.#send({ path: `/${how}` })
    const back =
      start.status === 302 ? await this.#balancer.visit(`${start.location}&login_as=${this.subject}`) : undefined
    if (back === undefined) {
      return this.#failed(start.status === 302 ? `${how}: provider away` : `${how} route ${start.code}`)
    }
    const { pathname, search, searchParams } = new URL(back)
    const code = searchParams.get('code')!
    this.#ledger.leave(login)
    const answer = await this.#balancer.send(this.#random, { path: pathname + search, cookie: this.#cookieHeader() })
    this.#store(pathname, answer)
    if (answer.status !== 302) {
      this.#noteUnknownOutcome(login, answer, true)
      return this.#failed(`${how} callback ${answer.code}`)
    }
    this.#ledger.move(login, cookieIn(answer))
    if (how === 'link') {
      this.#ledger.add(login, code, answer.at)
    } else {
      this.#ledger.stepUp(login, code, answer.at)
    }
    login.state = 'in'
  }

  /** Takes the added account away again. */
  async disconnect (): Promise<void> {
    const login = this.current
    if (login?.state !== 'in' || this.cookie !== login.cookie || login.added?.state !== 'in') return
    this.#ledger.leave(login)
    const answer = await this.#send({ method: 'POST', path: '/disconnect' })
    if (answer.status !== 200) {
      this.#noteUnknownOutcome(login, answer, true)
      return this.#failed(`disconnect ${answer.code}`)
    }
    this.#ledger.move(login, cookieIn(answer))
    this.#ledger.disconnect(login, answer.at)
    login.state = 'in'
    const after = await this.ask(login, '/added')
    if (after.status === 200) {
      this.#ledger.report('disconnect undone', login, { worker: after.worker, text: after.text })
    }
  }

  /** Calls the API with the added account's token. Nothing else renews or ends the login meanwhile. */
  async callAdded (login = this.current): Promise<void> {
    if (login?.state !== 'in' || login.added?.state !== 'in') return
    const { added } = login
    const codes: string[] = []
    for (let tries = 0; tries < TRIES; tries++) {
      const answer = await this.ask(login, '/added')
      this.#ledger.count(this.#ledger.calls, answer.code)
      if (answer.status === 200) {
        this.#ledger.checkAnswer(login, answer, { added: true })
        if (codes.some(code => code.startsWith('401'))) {
          this.#ledger.report('false 401', login, { codes, path: '/added' })
        }
        return
      }
      // Asked twice before it is believed; a login that is gone is found out elsewhere.
      if (codes.at(-1)?.startsWith('401') === true && answer.status === 401) {
        if ((await this.settled(login)) === 'in') {
          Object.assign(added, { state: 'lost', lostAt: answer.at, lostCode: codes.at(-1), lostOn: answer.worker })
        }
        return
      }
      codes.push(answer.code)
      await sleep(TRY_MS)
    }
    this.#ledger.report('no clear answer', login, { codes, path: '/added' })
  }

  /** A callback failed that would have replaced a login: if it came as far as the store, either outcome is right. */
  #noteUnknownOutcome (login: Login, { status, code }: AppAnswer, alone: boolean): void {
    if (login.state !== 'leaving') return
    const unclear = !alone || status === 0 || status === 500 || code.includes('STORE_UNAVAILABLE')
    if (unclear) this.#ledger.end(login, 'abandoned', `callback ${code}`)
    else login.state = 'in'
  }

  #failed (why: string): undefined {
    this.#ledger.count(this.#ledger.loginFailures, why)
    return undefined
  }

  /** Logs out, again and again until the app says that it is done. */
  async logout (path = '/logout'): Promise<void> {
    const login = this.current
    if (login?.state !== 'in' || this.cookie !== login.cookie) return
    this.#ledger.leave(login)
    const codes: string[] = []
    for (let tries = 0; tries < TRIES; tries++) {
      const answer = await this.#balancer.send(this.#random, {
        method: 'POST',
        path,
        cookie: `${SESSION}=${login.cookie}`
      })
      if (answer.status === 302 || answer.status === 200) {
        this.#store(path, answer)
        this.#ledger.end(login, 'out', `POST ${path} on ${answer.worker} after ${codes.join(', ') || 'nothing'}`)
        this.#ledger.logouts++
        const back =
          answer.location?.startsWith('http') === true ? await this.#balancer.visit(answer.location) : undefined
        if (back?.startsWith(this.#base.origin) === true) {
          await this.#send({ path: back.slice(this.#base.origin.length) })
        }
        return
      }
      codes.push(`${answer.code} on ${answer.worker}`)
      await sleep(TRY_MS)
    }
    this.#ledger.report('logout impossible', login, { path, codes })
  }

  /** Opens the last callback that was taken again, as a browser's history does. */
  async replay (): Promise<void> {
    if (this.#lastCallback === undefined) return
    this.#ledger.replays++
    const { path, cookie } = this.#lastCallback
    const answer = await this.#balancer.send(this.#random, { path, cookie })
    // One whose login is there already is led on to the app, in the session that it has.
    if (answer.status === 302 && cookieIn(answer) !== undefined) {
      this.#ledger.report('callback taken twice', this, { path, worker: answer.worker })
    }
  }

  /** Asks as one login, whatever the browser's cookies are now. */
  async ask ({ cookie }: Pick<Login, 'cookie'>, path = '/orders'): Promise<AppAnswer> {
    return await this.#balancer.send(this.#random, { path, cookie: `${SESSION}=${cookie}` })
  }

  /** Asks until the app says clearly whether a login lives. */
  async settled (login: Login): Promise<'in' | 'out' | 'unclear'> {
    for (let tries = 0; tries < TRIES; tries++) {
      const { status, code } = await this.ask(login)
      if (status === 200) return 'in'
      if (status === 401) return 'out'
      if (tries === TRIES - 1) this.#ledger.report('no clear answer', login, { code })
      await sleep(TRY_MS)
    }
    return 'unclear'
  }

  /** A login that has ended must not answer, nor one that goes on elsewhere under a cookie that it had before. */
  async askGhost (login: Login, cookie = login.cookie): Promise<void> {
    this.#ledger.ghostsAsked++
    for (const path of ['/', '/orders']) {
      const answer = await this.ask({ cookie }, path)
      const there = path === '/' ? answer.status === 200 && !answer.text.includes('"user":null') : answer.status === 200
      if (there) {
        this.#ledger.report('resurrected', login, {
          path,
          text: answer.text.slice(0, 80),
          worker: answer.worker,
          how: login.how,
          endedMsAgo: answer.sentAt - (login.endedAt ?? 0),
          cookie,
          code: login.code
        })
      }
    }
  }

  /** A 401 of a login that the driver has not ended: lost, or a false word. */
  async #judge (login: Login, answer: AppAnswer, sentWith: string | undefined): Promise<void> {
    const loggedOut = answer.text.includes('"user":null')
    if (answer.status === 200 && !loggedOut) return this.#ledger.checkAnswer(login, answer)
    if ((answer.status !== 401 && !loggedOut) || login.state !== 'in') return
    const { cookie } = login
    // It was on its way while the login went on in another session.
    if (cookie !== sentWith) return
    let checking = this.#checking.get(login)
    if (checking === undefined) {
      checking = this.settled(login)
        .then(settled => {
          if (login.state !== 'in' || login.cookie !== cookie) return
          if (settled === 'in') {
            return this.#ledger.report('false 401', login, {
              code: answer.code,
              worker: answer.worker,
              sentAt: answer.sentAt,
              at: answer.at
            })
          }
          if (settled === 'out') this.lose(login, answer)
        })
        .finally(() => this.#checking.delete(login))
      this.#checking.set(login, checking)
    }
    await checking
  }

  lose (login: Login, { code, worker, at }: AppAnswer): void {
    login.state = 'lost'
    Object.assign(login, { lostAt: at, lostCode: code, lostOn: worker })
  }

  async #send (request: Omit<AppRequest, 'cookie'>): Promise<AppAnswer> {
    const answer = await this.#balancer.send(this.#random, { ...request, cookie: this.#cookieHeader() })
    this.#store(request.path, answer)
    return answer
  }

  #store (path: string, { setCookie, sentAt, at, code, worker }: AppAnswer): void {
    const before = this.cookie
    this.jar.store(this.#base, setCookie)
    if (this.cookie === before) return
    this.#changes.push({ path: path.split('?')[0], code, worker, sentAt, at, before, after: this.cookie })
    if (this.#changes.length > 5) this.#changes.shift()
  }

  #cookieHeader (): string | undefined {
    return this.jar.header(this.#base, { method: 'GET', crossSite: false })
  }

  /** An older answer that comes in later must not take the browser off its session. */
  #keepPlace ({ path }: AppRequest, sentWith: string | undefined, answer: AppAnswer): void {
    const { current, cookie } = this
    if (current?.state !== 'in' || cookie === current.cookie) return
    // A session that Redis forgot is unknown to every process from then on, also to an answer that comes after the next
    // login.
    const { at } = this.#ledger.find(sentWith) ?? current
    this.#ledger.report(
      cookie === undefined ? 'session cookie cleared' : 'session cookie replaced',
      { subject: current.subject, at },
      {
        path,
        sentAt: answer.sentAt,
        at: answer.at,
        loginAt: current.at,
        worker: answer.worker,
        sentWith,
        setCookie: answer.setCookie,
        code: answer.code,
        before: this.#ledger.find(sentWith)?.how,
        changes: [...this.#changes]
      }
    )
    this.jar.store(this.#base, [`${SESSION}=${current.cookie}; Path=/`])
  }
}

const cookieIn = ({ setCookie }: AppAnswer): string | undefined =>
  setCookie.map(header => /^sessionId=([^;]+)/.exec(header)?.[1]).find(value => value !== undefined)

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
