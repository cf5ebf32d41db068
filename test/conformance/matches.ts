import { isDeepStrictEqual } from 'node:util'

/** Whether a value has everything that is expected of it; what it has beyond that does not matter. */
export function hasAll (actual: unknown, expected: unknown): boolean {
  if (typeof expected !== 'object' || expected === null || Array.isArray(expected)) {
    return isDeepStrictEqual(actual, expected)
  }
  if (typeof actual !== 'object' || actual === null) return false
  return Object.entries(expected).every(([key, value]) => hasAll((actual as Record<string, unknown>)[key], value))
}

/** The first difference between two values, in words; undefined where there is none. */
export function difference (
  what: string,
  actual: unknown,
  expected: unknown,
  same: (actual: any, expected: any) => boolean = isDeepStrictEqual
): string | undefined {
  return same(actual, expected) ? undefined : `${what} is ${show(actual)}, not ${show(expected)}`
}

/** A value as one line. */
export function show (value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`
  const text = JSON.stringify(value) as string | undefined
  return text ?? String(value)
}
