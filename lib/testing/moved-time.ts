import { InvalidOptionsError } from '../errors.ts'

/** Milliseconds by which each owner has moved the time of this process. */
const shifts = new Map<object, number>()
let shift = 0
let restore: (() => void) | undefined

/**
 * Moves the time of this process forward: of `Date` and of `performance.now()`. Timers stay in real time.
 * @param owner who moves it, and takes that back with `restoreTime`
 * @throws FST_OAUTH_INVALID_OPTIONS if `seconds` is no number above 0
 */
export function advanceTime (owner: object, seconds: number): void {
  if (!Number.isFinite(seconds) || seconds < 0) {
    throw new InvalidOptionsError(`time moves forward by a number of seconds, not by ${String(seconds)}`)
  }
  restore ??= install()
  setShift(owner, (shifts.get(owner) ?? 0) + seconds * 1000)
}

/** Takes back what an owner has moved. */
export function restoreTime (owner: object): void {
  if (!shifts.has(owner)) return
  setShift(owner, 0)
  if (shifts.size > 0) return
  restore?.()
  restore = undefined
}

function setShift (owner: object, milliseconds: number): void {
  if (milliseconds === 0) shifts.delete(owner)
  else shifts.set(owner, milliseconds)
  shift = [...shifts.values()].reduce((sum, each) => sum + each, 0)
}

/** Puts clocks that are moved by `shift` in the place of the real ones. @returns puts those back */
function install (): () => void {
  const { Date: RealDate } = globalThis
  const now = () => RealDate.now() + shift
  const moved: DateConstructor = new Proxy(RealDate, {
    construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new RealDate(now()).toString(),
    get: (target, name) => name === 'now' ? now : Reflect.get(target, name)
  })
  globalThis.Date = moved
  const monotonic = performance.now
  const isOwn = Object.hasOwn(performance, 'now')
  const movedMonotonic = () => monotonic.call(performance) + shift
  performance.now = movedMonotonic
  return () => {
    // Fake timers that came later have put theirs there, and put these ones back by themselves.
    if (globalThis.Date === moved) globalThis.Date = RealDate
    if (performance.now !== movedMonotonic) return
    if (isOwn) performance.now = monotonic
    else delete (performance as { now?: unknown }).now
  }
}
