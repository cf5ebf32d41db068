import { NotUnderstood } from './case.ts'

/** The number that a sentence names; a sentence without it is not understood. */
export function numberIn (sentence: string, pattern: RegExp): number {
  const [, digits] = pattern.exec(sentence) ?? []
  if (digits === undefined) throw new NotUnderstood(`given.flow "${sentence}"`)
  return Number(digits)
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600 }

/** The time that a sentence names, in seconds: `3601 s`, `10 min`, `2 hours`. */
export function secondsIn (sentence: string): number {
  const [, digits, unit] = /(\d+) ?(s|m|h)(?:ec|in|ours?|econds?|inutes?)?s?\b/.exec(sentence) ?? []
  if (digits === undefined) throw new NotUnderstood(`given.flow "${sentence}"`)
  return Number(digits) * UNITS[unit!]!
}

/** A scenario that its operation's name stands for alone must at least be about what the operation does. */
export function speaksOf (sentence: unknown, ...subjects: RegExp[]): void {
  if (!subjects.every(subject => subject.test(String(sentence)))) throw new NotUnderstood(`given.flow "${sentence}"`)
}
