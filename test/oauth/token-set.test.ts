import t from 'tap'
import { compareScope, effectiveLeeway, isExpired, parseScope } from '../../lib/oauth/token-set.ts'

for (const [name, [expiresAt, now, leeway, expected]] of Object.entries<
  [number | undefined, number, number | undefined, boolean]
>({
  'before its end': [1000, 999, undefined, false],
  'at its very end': [1000, 1000, undefined, false],
  'a moment after': [1000, 1000.001, undefined, true],
  'in the margin': [1000, 971, 30, true],
  'at the very margin': [1000, 970, 30, false],
  'without a known end': [undefined, 1e12, 30, false],
  'at the beginning of time': [0, 1, 0, true]
})) {
  t.test(`a token ${name} is ${expected ? '' : 'not '}expired`, async (t) => {
    t.equal(isExpired(expiresAt, now, leeway), expected)
  })
}

for (const [name, [leeway, expiresAt, obtainedAt, expected]] of Object.entries<
  [number, number | undefined, number | undefined, number]
>({
  'a long life': [30, 4600, 1000, 30],
  'a life of 30 seconds': [30, 1030, 1000, 15],
  'a life of a second': [30, 1001, 1000, 0.5],
  'no life at all': [30, 1000, 1000, 0],
  'an end before its beginning': [30, 900, 1000, 0],
  'an unknown end': [30, undefined, 1000, 30],
  'an unknown beginning': [30, 4600, undefined, 30],
  'no leeway': [0, 4600, 1000, 0]
})) {
  t.test(`the leeway of ${name}`, async (t) => {
    t.equal(effectiveLeeway(leeway, expiresAt, obtainedAt), expected)
  })
}

for (const [scope, expected] of [
  ['a b', ['a', 'b']],
  [' a  b\n', ['a', 'b']],
  ['', []],
  [['a', 'b c'], ['a', 'b c']],
  [['a', '', 1, null], ['a']],
  [[], []],
  [undefined, undefined],
  [null, undefined],
  [1, undefined],
  [{}, undefined],
  ['a,b', ['a,b']]
] as const) {
  t.test(`the scope ${JSON.stringify(scope)}`, async (t) => {
    t.strictSame(parseScope(scope), expected)
  })
}

t.test('scopes are compared as sets', async (t) => {
  t.equal(compareScope(['a', 'b'], ['b', 'a']), undefined)
  t.equal(compareScope([], []), undefined)
  t.strictSame(compareScope(['a', 'c'], ['a', 'b']), { missing: ['b'], added: ['c'] })
})
