import t from 'tap'
import { safeReturnTo } from '../../lib/routes/return-to.ts'

// One check alone: at a login the path is read twice, and a value that one reading lets through may be caught by the
// other.
const base = new URL('https://app.example/shop/')

for (const value of [
  '//evil.example',
  '///evil.example',
  '/\\evil.example',
  '\\/evil.example',
  '\\\\evil.example',
  '/\\/evil.example',
  '/x\\y',
  '/x\\..\\y',
  '/.\\/evil.example',
  '/.//evil.example',
  '/..//evil.example',
  '/x/..//evil.example',
  '/%2e//evil.example',
  '/x/%2E%2e//evil.example',
  '/./\\evil.example',
  '/\t/evil.example',
  '/\n/evil.example',
  '/\r/evil.example',
  '/ /evil.example',
  '/a b',
  '/\u0000',
  '/\u007f',
  '/x\r\nset-cookie: a=b',
  'https://evil.example/',
  'https://app.example//evil.example',
  'https://app.example/.//evil.example',
  'https://app.example.evil.example/',
  'https://app.example@evil.example/',
  'http://app.example/',
  'https:evil.example',
  'javascript:alert(1)',
  'data:text/html,x',
  'x',
  '',
  undefined,
  null,
  1,
  ['/'],
  `/${'a'.repeat(5000)}`
]) {
  t.test(`${JSON.stringify(value)?.slice(0, 60)} is not followed`, async (t) => {
    t.equal(safeReturnTo(value, base), undefined)
  })
}

for (const [value, expected] of Object.entries({
  '/': '/',
  '/a/b?c=d#e': '/a/b?c=d#e',
  '/a?b=//evil.example': '/a?b=//evil.example',
  '/a?b=\\x': '/a?b=\\x',
  '/a//b': '/a//b',
  '/%5cevil.example': '/%5cevil.example',
  'https://app.example/a': '/a',
  '/a/../b': '/b',
  '/./a': '/a',
  '/ä?ö': '/%C3%A4?%C3%B6'
})) {
  t.test(`${value} is followed as ${expected}, on the app's origin`, async (t) => {
    t.equal(safeReturnTo(value, base), expected)
    t.equal(new URL(expected, base).origin, base.origin)
    t.equal(safeReturnTo(expected, base), expected, 'the same when it is read once more')
  })
}
