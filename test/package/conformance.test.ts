import t from 'tap'
import { readCases, type ConformanceCase } from '../conformance/case.ts'
import { report } from '../conformance/report.ts'
import { runCases, type Result } from '../conformance/runner.ts'

/** Cases that say otherwise than the design, and why the design stays. */
const contradictions: Record<string, string> = {
  'TR-14': "a lifetime depends on no clock but the app's; a provider whose clock is late would end every new token",
  'AU-12':
    'plain http to the machine itself gives nothing away: allowInsecureRequests is for what lies beyond loopback',
  'SS-03':
    'tokens are records that only the session points to, under random ids; a store keyed by provider and user ' +
      'would tie all sessions of a user together'
}

const fileOf = (name: string) => new URL(`../conformance/${name}`, import.meta.url).pathname
const failures = (results: readonly Result[]) =>
  Object.fromEntries(results.flatMap(result => (result.outcome === 'failed' ? [[result.id, result.problems]] : [])))
const skipped = (results: readonly Result[]) =>
  results.flatMap(result => (result.outcome === 'skipped' ? [[result.id, result.unknown]] : []))

t.test('every case passes but those that contradict the design; MAC tokens stay out', async (t) => {
  const results = await runCases(await readCases(fileOf('cases.json')))
  const { ...unexpected } = failures(results)
  for (const [id, reason] of Object.entries(contradictions)) {
    t.ok(unexpected[id] !== undefined, `${id} contradicts the design: ${reason}`)
    delete unexpected[id]
  }
  t.strictSame(unexpected, {})
  t.strictSame(skipped(results), [['TP-20', 'op mac_header']])
})

t.test('variants of the cases pass', async (t) => {
  const results = await runCases(await readCases(fileOf('more.json')))
  t.strictSame(failures(results), {})
  t.strictSame(skipped(results), [])
})

// The runner itself: what it does not understand must never count as passed.

const challenge: ConformanceCase = {
  id: 'example',
  given: { verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk' },
  when: { op: 'challenge', method: 'S256' },
  expect: { challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM' }
}
const call = {
  id: 'call',
  given: { token: { access_token: 'at1' } },
  when: { op: 'api_request', method: 'GET', url: 'https://rs.b/x' }
}

const strange: Record<string, [ConformanceCase, string]> = {
  'an op': [{ ...challenge, when: { op: 'fly' } }, 'op fly'],
  'an op with the name of something every object has': [
    { ...challenge, when: { op: 'constructor' } },
    'op constructor'
  ],
  'what is given': [{ ...challenge, given: { ...challenge.given, wings: 2 } }, 'given.wings'],
  'what is done': [{ ...challenge, when: { ...challenge.when, twice: true } }, 'when.twice'],
  'what is expected': [{ ...challenge, expect: { ...challenge.expect, height: 3 } }, 'expect.height'],
  'a part of an error': [
    { ...challenge, when: { op: 'challenge', method: 'S512' }, expect: { error: { colour: 'red' } } },
    'expect.error.colour'
  ],
  'a part of a request': [{ ...call, expect: { wire: [{ colour: 'red' }] } }, 'expect.wire.colour'],
  'something that its op cannot tell': [
    { ...challenge, expect: { ...challenge.expect, token: { access_token: 'at1' } } },
    'expect.token'
  ],
  'something given to an op that has no use for it': [
    { ...call, given: { ...call.given, verifier: 'x' }, expect: { ok: true } },
    'given.verifier'
  ],
  'a scenario that is about something else than its op': [
    { id: 'close', given: { flow: 'stop the clock' }, when: { op: 'close' }, expect: { idempotent: true } },
    'given.flow "stop the clock"'
  ],
  'a word for whose tokens they are': [
    {
      id: 'owner',
      given: { token: { access_token: 'old', refresh_token: 'r1', expires_at: 1 }, now: 1000 },
      when: call.when,
      expect: { updater_args: { owner: 'the weather' } }
    },
    'expect.updater_args.owner "the weather"'
  ],
  'a flow': [
    { ...call, given: { ...call.given, flow: 'by carrier pigeon' }, expect: { ok: true } },
    'given.flow "by carrier pigeon"'
  ],
  'an ID token': [
    {
      id: 'id',
      given: { id_token: 'exp 5 s ago and a wax seal' },
      when: { op: 'validate_id_token' },
      expect: { ok: true }
    },
    'given.id_token "exp 5 s ago and a wax seal"'
  ]
}

for (const [what, [one, unknown]] of Object.entries(strange)) {
  t.test(`${what} that the runner does not know is counted apart, by name`, async (t) => {
    t.strictSame(await runCases([one]), [{ id: one.id, outcome: 'skipped', unknown }])
  })
}

const coloured = { ...challenge, colour: 'red' }
const delayed = { ...call.given, token_response: { status: 200, body: '', delay: 3 } }
const several: [what: string, one: ConformanceCase, unknown: string][] = [
  ['two things', { ...challenge, given: { ...challenge.given, wings: 2, tail: 1 } }, 'given.wings, given.tail'],
  ['a member of the case itself', coloured, 'colour'],
  ['a member of an answer', { ...call, given: delayed, expect: { ok: true } }, 'token_response.delay']
]
for (const [what, one, unknown] of several) {
  t.test(`${what} that the runner does not know is named`, async (t) => {
    t.strictSame(await runCases([one]), [{ id: one.id, outcome: 'skipped', unknown }])
  })
}

const wrong: Record<string, ConformanceCase> = {
  'another value': { ...challenge, expect: { challenge: 'something else' } },
  'more than the value': { ...challenge, expect: { challenge: `${String(challenge.expect.challenge)}, and more` } },
  'an error, where a case says that there is none': {
    ...challenge,
    when: { op: 'challenge', method: 'S512' },
    expect: { error: null, ok: true }
  },
  'nothing wrong, where something was expected': { ...challenge, expect: { ok: false } },
  'a member of a token that was not to be there': {
    id: 'null',
    given: { code: 'zz' },
    when: { op: 'exchange_code' },
    expect: { token: { access_token: null } }
  },
  'another outcome in words': {
    id: 'lookup',
    given: { flow: 'ask for an unregistered provider' },
    when: { op: 'lookup' },
    expect: { result: 'a client' }
  },
  'an error where none was expected': { ...challenge, when: { op: 'challenge', method: 'S512' } },
  'no error where one was expected': { ...challenge, expect: { error: { code: 'configuration' } } },
  'another error than expected': {
    ...challenge,
    when: { op: 'challenge', method: 'S512' },
    expect: { error: { code: 'missing_token' } }
  },
  'one request more than expected': { ...call, expect: { wire: [] } },
  'another header than expected': { ...call, expect: { wire: [{ headers: { authorization: 'Bearer another' } }] } },
  'a field that was not expected in an exact form': {
    id: 'form',
    given: { client_secret: 'sec', code: 'zz', token_params: { further: '1' } },
    when: { op: 'token_request' },
    expect: { wire: [{ form: { grant_type: 'authorization_code', code: 'zz' } }] }
  },
  'another token than expected': {
    id: 'token',
    given: { code: 'zz' },
    when: { op: 'exchange_code' },
    expect: { token: { access_token: 'another' } }
  },
  'a provider without a preset': { ...call, given: { ...call.given, provider: 'unknown' }, expect: { ok: true } }
}

for (const [what, one] of Object.entries(wrong)) {
  t.test(`${what} fails`, async (t) => {
    const [result] = await runCases([one])
    t.equal(result?.outcome, 'failed')
  })
}

t.test('it does not matter whether something is given or part of what is done', async (t) => {
  const { given: { verifier }, when: { op, method }, expect } = challenge
  const results = await runCases([
    { id: 'given', given: { verifier, method }, when: { op }, expect },
    { id: 'done', given: {}, when: { op, verifier, method }, expect }
  ])
  t.strictSame(results.map(({ outcome }) => outcome), ['passed', 'passed'])
})

t.test('the report names each failure and what is not known, and counts last', async (t) => {
  t.strictSame(report([
    { id: 'A', outcome: 'passed' },
    { id: 'B', outcome: 'failed', problems: ['one thing', 'another'] },
    { id: 'C', outcome: 'skipped', unknown: 'op fly' },
    { id: 'D', outcome: 'skipped', unknown: 'op fly' }
  ]), ['failed B: one thing', 'failed B: another', 'skipped 2, unknown op fly: C, D', '1 passed, 1 failed, 2 skipped'])
})
