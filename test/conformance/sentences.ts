import { NotUnderstood } from './case.ts'

/** The number that a sentence names; a sentence without it is not understood. */
export function numberIn (sentence: string, pattern: RegExp): number {
  const [, digits] = pattern.exec(sentence) ?? []
  if (digits === undefined) throw new NotUnderstood(`given.flow "${sentence}"`)
  return Number(digits)
}
