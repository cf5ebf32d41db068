import type { Login, LoginState } from './journal.ts'
import type { AppAnswer } from './traffic.ts'

/** Something that must not be, with what is needed to find out why. */
export interface Finding {
  what: string
  at: number
  /** When what was found to be wrong was right for the last time, as far as is known. */
  since: number
  subject: string
  details: Record<string, unknown>
}

/** Everything that the driver knows of the logins, and counts. */
export class Ledger {
  readonly logins: Login[] = []
  readonly calls = new Map<string, number>()
  readonly loginFailures = new Map<string, number>()
  readonly findings: Finding[] = []
  loginsStarted = 0
  replays = 0
  ghostsAsked = 0
  logouts = 0
  readonly #byCookie = new Map<string, Login>()

  count (counter: Map<string, number>, key: string): void { counter.set(key, (counter.get(key) ?? 0) + 1) }

  open (login: Omit<Login, 'state'>): Login {
    const opened: Login = { ...login, state: 'in' }
    this.logins.push(opened)
    this.#byCookie.set(login.cookie, opened)
    return opened
  }

  /** The login whose session a cookie names. */
  find (cookie: string | undefined): Login | undefined {
    return cookie === undefined ? undefined : this.#byCookie.get(cookie)
  }

  of (subject: string): Login[] { return this.logins.filter(login => login.subject === subject) }

  /** From now on nobody knows whether a login lives, until it is said to have ended. */
  leave (login: Login): void {
    login.state = 'leaving'
    login.leavingAt = Date.now()
  }

  end (login: Login, state: LoginState, how: string): void {
    login.state = state
    login.endedAt = Date.now()
    login.how = how
  }

  /** Notes what must not be. */
  report (what: string, { subject, at = 0, endedAt = at }: { subject: string, at?: number, endedAt?: number }, details: Record<string, unknown>): void {
    this.findings.push({ what, at: Date.now(), since: endedAt, subject, details })
  }

  /** Checks that an answer was made with the token of the login that asked. */
  checkAnswer (login: Login, answer: AppAnswer): void {
    const { sub, family } = JSON.parse(answer.text) as { sub?: string, family?: string }
    if (sub === undefined) return
    if (sub !== login.subject) this.report('answer of another user', login, { sub, code: login.code, worker: answer.worker })
    login.family ??= family
    if (family !== login.family) this.report('answer of another login', login, { family, own: login.family, worker: answer.worker })
  }
}
