// What happened, and when. Times are epoch milliseconds: all processes run on one machine.

/** One time that the provider was shown a refresh token. */
export interface Presentation {
  at: number
  /** Name of the process that sent it: one for each life of a worker. */
  worker: string
  /** Which refresh token of its family: 1 came with the login. */
  n: number
  /** `dropped`: the provider never acted on it. */
  outcome: 'rotated' | 'reused' | 'revoked' | 'dropped'
  fault?: string
  /** When the last byte of the answer was handed to the network. */
  answeredAt?: number
  /** Who cut the connection before the whole answer was out. */
  cut?: 'fault' | 'outage' | 'client'
}

/** The tokens of one login, as the provider knows them. */
export interface Family {
  name: string
  subject: string
  code: string
  clientId: string
  createdAt: number
  revokedAt?: number
  revokedBy?: 'reuse' | 'client' | 'code reuse'
  /** Thumbprint of the key that its tokens are bound to (RFC 9449). */
  jkt?: string
  presentations: Presentation[]
}

export interface ProviderJournal {
  families: Family[]
  /** Times that an authorization code was used again. */
  codesReused: number
  /** Refresh tokens that the provider never issued. */
  unknownTokens: number
  apiCalls: number
  /** Proofs that were taken, and nonces that were asked for. */
  proofs: number
  noncesAsked: number
  /** Requests with a bound token and no proof, or one that does not fit: of the same key, URL, method and token. */
  wrongProofs: string[]
}

export interface Span {
  from: number
  to: number
}

/** One life of a worker process. */
export interface Life extends Span {
  /** `<slot>.<count>` */
  name: string
  slot: number
  /** The signal that ended it. */
  end?: 'SIGKILL' | 'SIGTERM'
  pauses: Span[]
}

/** A time in which Redis did not answer. */
export interface Outage extends Span {
  how: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP'
}

/** What the driver did to the processes. */
export interface ChaosJournal {
  lives: Life[]
  redis: Outage[]
  provider: Span[]
}

export type LoginState =
  /** The driver expects it to be logged in. */
  | 'in'
  /** The driver is ending it, and does not know how far that is. */
  | 'leaving'
  /** The driver has ended it; it must stay so. */
  | 'out'
  /** A callback that would replace it got no clear answer: either is right. */
  | 'abandoned'
  /** It was not ended by the driver, and says 401. */
  | 'lost'

/** An account at the second provider, added to a login. */
export interface AddedAccount {
  subject: string
  code: string
  at: number
  state: 'in' | 'lost'
  lostAt?: number
  lostCode?: string
  lostOn?: string
}

/** One login that was completed: the browser was given its session. */
export interface Login {
  subject: string
  /** Of the login, or of its last step-up. */
  code: string
  /** The session cookie. A link, a step-up and a disconnect give the session another one. */
  cookie: string
  /** The cookies that it had before. */
  formerCookies: string[]
  /** Codes whose tokens a step-up replaced, or a disconnect took away, and when that was done. */
  formerCodes: { code: string, until: number, by: 'step-up' | 'disconnect' }[]
  added?: AddedAccount
  /** Codes of all accounts that were ever added. */
  addedCodes: string[]
  /** The provider's names for the tokens that answered, and when they were asked for last. */
  families: Map<string, number>
  at: number
  state: LoginState
  /** When the driver began to end it, and when that was done. */
  leavingAt?: number
  endedAt?: number
  /** When the last callback was answered that was to replace it: of two at once, one may take longer. */
  settledAt?: number
  how?: string
  /** The first 401. */
  lostAt?: number
  lostCode?: string
  lostOn?: string
}

export const overlaps = (a: Span, b: Span): boolean => a.from <= b.to && b.from <= a.to
