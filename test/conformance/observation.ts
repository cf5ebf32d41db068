import type { KeyObject } from 'node:crypto'
import type { OAuthSession } from '../../lib/standalone/session.ts'
import type { TokenSet } from '../../lib/index.ts'
import type { Saved } from './rig.ts'
import type { WireRequest } from './wire.ts'
import type { CodeChallenge } from './wire-expectations.ts'

/**
 * What came of one case: whatever its operation can tell. What is expected of something that is not here is not
 * understood.
 */
export interface Observation {
  error?: unknown
  /** The set that the operation handed out. */
  tokens?: TokenSet | undefined
  session?: OAuthSession | undefined
  saved?: readonly Saved[]
  /** Every outgoing request, in order. */
  wire?: readonly WireRequest[]
  /** The id by which a client without a secret names itself in each form. */
  publicClientId?: string | undefined
  clientSecret?: string | undefined
  /** Of the pair that the app signs with. */
  publicKey?: () => KeyObject
  /** The URLs that logins start with. */
  urls?: readonly string[]
  /** The challenge of the login that was begun. */
  codeChallenge?: CodeChallenge | undefined
  /** The parameters of a callback. */
  params?: URLSearchParams
  /** Whether a set counts as expired at the time of the case. */
  isExpired?: () => Promise<boolean>
  /** Whether a call goes out with a set as its bearer. */
  isUsable?: () => Promise<boolean>
  /** Outcomes in words, for sentences that name all that are fine. */
  described?: Record<string, string>
  /** Anything that is compared as it stands, by the name that the cases give it. */
  facts?: Record<string, unknown>
}
