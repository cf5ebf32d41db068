import { randomToken } from '../util/random.ts'

/**
 * What is special about a login. The state has it, because the state comes back even if cookie and record of the login
 * are gone.
 * - `again`: it took the place of a login that was lost
 * - `once`: it asks for something that a login in its place would not have
 * - `popup`: its outcome is sent to the window that opened it
 */
export type StateKind = 'again' | 'once' | 'popup'

const STATE = /^(?:(again|once|popup)-)?[\w-]{43}$/

/** A state that says what is special about its login. */
export function specialState (kind: StateKind): string {
  return `${kind}-${randomToken()}`
}

/**
 * What the state of a response says of its login: it may be made up.
 * @returns undefined for a state that is not of the form of those that are made here
 */
export function kindOfState (state: string): StateKind | 'ordinary' | undefined {
  const match = STATE.exec(state)
  return match === null ? undefined : match[1] as StateKind | undefined ?? 'ordinary'
}
