import { CLIENT_IDS } from './authority.ts'
import type { AddedAccount, Login, LoginState } from './journal.ts'
import type { Inquest } from './causes.ts'
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
  links = 0
  stepUps = 0
  disconnects = 0
  readonly accounts: AddedAccount[] = []
  ghostsAsked = 0
  logouts = 0
  /** Logout tokens that were carried out, and logins that were under way meanwhile. */
  logoutTokens = 0
  races = 0
  /** Session at the provider that has ended → when the app said so. */
  readonly endedSids = new Map<string, number>()
  readonly #byCookie = new Map<string, Login>()

  count (counter: Map<string, number>, key: string): void { counter.set(key, (counter.get(key) ?? 0) + 1) }

  open (login: Pick<Login, 'subject' | 'code' | 'cookie' | 'at'>): Login {
    const opened: Login = {
      ...login,
      formerCookies: [],
      formerCodes: [],
      addedCodes: [],
      families: new Map(),
      state: 'in'
    }
    this.logins.push(opened)
    this.#byCookie.set(login.cookie, opened)
    return opened
  }

  /** The login whose session a cookie names. */
  find (cookie: string | undefined): Login | undefined {
    return cookie === undefined ? undefined : this.#byCookie.get(cookie)
  }

  /** The session of a login has another cookie from now on. */
  move (login: Login, cookie: string | undefined): void {
    if (cookie === undefined || cookie === login.cookie) return
    login.formerCookies.push(login.cookie)
    login.cookie = cookie
    this.#byCookie.set(cookie, login)
  }

  add (login: Login, code: string, at: number): void {
    if (login.added !== undefined) login.formerCodes.push({ code: login.added.code, until: at, by: 'step-up' })
    login.added = { subject: login.subject, code, at, state: 'in' }
    login.addedCodes.push(code)
    this.accounts.push(login.added)
    this.links++
  }

  /** New tokens, and a new code, have taken the place of those that the login began with. */
  stepUp (login: Login, code: string, at: number): void {
    login.formerCodes.push({ code: login.code, until: at, by: 'step-up' })
    login.code = code
    this.stepUps++
  }

  disconnect (login: Login, at: number): void {
    if (login.added !== undefined) login.formerCodes.push({ code: login.added.code, until: at, by: 'disconnect' })
    delete login.added
    this.disconnects++
  }

  of (subject: string): Login[] { return this.logins.filter(login => login.subject === subject) }

  /** From now on a login may have ended or not, until it is said to have ended. */
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
  report (
    what: string,
    { subject, at = 0, endedAt = at }: { subject: string, at?: number, endedAt?: number },
    details: Record<string, unknown>
  ): void {
    this.findings.push({ what, at: Date.now(), since: endedAt, subject, details })
  }

  /** Checks that an answer was made with the token of the user who asked; which login's it was is known in the end. */
  checkAnswer (login: Login, answer: AppAnswer, { added = false } = {}): void {
    const { sub, family, client } = JSON.parse(answer.text) as { sub?: string, family?: string, client?: string }
    if (sub === undefined || family === undefined) return
    if (sub !== login.subject) {
      this.report('answer of another user', login, { sub, code: login.code, worker: answer.worker })
    }
    const askedBefore = login.families.get(family) ?? 0
    login.families.set(family, Math.max(askedBefore, answer.sentAt))
    if (client !== (added ? CLIENT_IDS.gh : CLIENT_IDS.acme)) {
      this.report('answer of another account', login, { client, worker: answer.worker })
    }
  }

  /** Checks that each login was answered with its own tokens alone, and after a step-up with those that it brought. */
  checkFamilies (inquest: Inquest): void {
    for (const login of this.logins) {
      const codes = [login.code, ...login.formerCodes.map(({ code }) => code)]
      for (const [family, askedAt] of login.families) {
        const code = inquest.codeOf(family) ?? ''
        const former = login.formerCodes.find(candidate => candidate.code === code)
        if (former !== undefined && askedAt > former.until) {
          this.report(`${former.by} undone`, login, { family, askedAt, former })
        }
        if (!codes.includes(code) && !login.addedCodes.includes(code)) {
          this.report('answer of another login', login, { family, codes })
        }
      }
    }
  }
}
