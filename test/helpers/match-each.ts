import type { Test } from 'tap'

/**
 * Asserts a list item by item: as many items as patterns, and each text of a pattern whole. `t.match` alone takes a
 * longer list, and any text that has the pattern's text in it.
 */
export function matchEach (t: Test, found: readonly unknown[], patterns: readonly unknown[], message = ''): void {
  t.equal(found.length, patterns.length, message)
  t.match(found, whole(patterns), message)
}

function whole (pattern: unknown): unknown {
  if (typeof pattern === 'string') return new RegExp(`^${pattern.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`)
  if (Array.isArray(pattern)) return pattern.map(whole)
  if (pattern === null || typeof pattern !== 'object' || pattern instanceof RegExp) return pattern
  return Object.fromEntries(Object.entries(pattern).map(([name, value]) => [name, whole(value)]))
}
