import { randomBytes } from 'node:crypto'
import t from 'tap'
import { checkedStore } from '../../lib/tokens/stores/checked-store.ts'
import { encryptedStore } from '../../lib/tokens/stores/encrypted-store.ts'
import { MemoryMembers } from '../../lib/tokens/stores/memory-members.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import type { MemberStore, StoredRecord, TokenStore } from '../../lib/tokens/stores/token-store.ts'
import { wholeStore } from '../helpers/whole-store.ts'

// What a third party who can write into the store, and has no key, must not achieve.

const [oldKey, newKey] = [randomBytes(32), randomBytes(32)]
const record = (id: string, provider = 'acme'): StoredRecord => ({
  version: 1,
  provider,
  user: { id },
  tokens: { accessToken: `token-of-${id}` }
})

function sealed (keys = [oldKey]) {
  const inner = new MemoryTokenStore()
  const unreadable: string[] = []
  return { inner, unreadable, store: encryptedStore(inner, keys, (provider) => { unreadable.push(provider) }) }
}

t.test('a record is read back, and without the key only its provider and user can be read', async t => {
  const { inner, store, unreadable } = sealed()
  await store.set('a', record('alice'), { ttl: 60 })
  t.strictSame(await store.get('a'), record('alice'))
  t.strictSame(Object.keys(inner.peek('a')!).sort(), ['key', 'provider', 'sealed', 'subject', 'version'])
  t.notMatch(JSON.stringify(inner.peek('a')), 'token-of-alice')
  t.strictSame(await store.consume('a'), record('alice'))
  t.strictSame(unreadable, [])
})

t.test('the same record is never encrypted to the same text twice', async (t) => {
  const { inner, store } = sealed()
  await store.set('a', record('alice'), { ttl: 60 })
  const first = inner.peek('a')!.sealed
  await store.set('a', record('alice'), { ttl: 60 })
  t.not(inner.peek('a')!.sealed, first)
})

const tampering: Record<string, (alices: StoredRecord, bobs: StoredRecord) => StoredRecord> = {
  'another user\'s record in its place': (_alices, bobs) => bobs,
  'its own of another version': (alices) => ({ ...alices, version: 2 }),
  'another provider': (alices) => ({ ...alices, provider: 'evil' }),
  'another user': (alices) => ({ ...alices, subject: 'bob' }),
  'the seal of another record': (alices, bobs) => ({ ...alices, sealed: bobs.sealed }),
  'a seal with one bit changed': (alices) => {
    const bytes = Buffer.from(String(alices.sealed), 'base64url')
    bytes[bytes.length - 1]! ^= 1
    return { ...alices, sealed: bytes.toString('base64url') }
  },
  'a seal that is cut off': (alices) => ({ ...alices, sealed: String(alices.sealed).slice(0, 20) }),
  'an empty seal': (alices) => ({ ...alices, sealed: '' }),
  'a seal that is no text': (alices) => ({ ...alices, sealed: { length: 40 } }),
  'the name of an unknown key': (alices) => ({ ...alices, key: 'x' }),
  'a record in the clear': () => record('mallory'),
}

for (const [what, tamper] of Object.entries(tampering)) {
  t.test(`${what}: the record counts as missing, with a warning`, async (t) => {
    const { inner, store, unreadable } = sealed()
    await store.set('a', record('alice'), { ttl: 60 })
    await store.set('b', record('bob'), { ttl: 60 })
    inner.put('a', tamper(inner.peek('a')!, inner.peek('b')!))
    t.equal(await store.get('a'), undefined)
    t.equal(unreadable.length, 1)
    t.equal(await store.consume('a'), undefined)
    t.strictSame(await store.get('b'), record('bob'))
  })
}

t.test('every key decrypts, the first encrypts; a removed key decrypts nothing', async (t) => {
  const { inner, store } = sealed([oldKey])
  await store.set('a', record('alice'), { ttl: 60 })
  const both = encryptedStore(inner, [newKey, oldKey], () => {})
  t.strictSame(await both.get('a'), record('alice'))
  const later = encryptedStore(inner, [newKey], () => {})
  t.equal(await later.get('a'), undefined)
  await both.set('a', record('alice'), { ttl: 60 })
  t.strictSame(await later.get('a'), record('alice'))
  t.equal(await store.get('a'), undefined)
})

t.test('what is kept of a login is read again, and not without the key or in another place', async (t) => {
  const inner = new MemoryMembers()
  const methods: MemberStore = {
    addMember: (...args) => inner.addMember(...args),
    removeMembers: (...args) => inner.removeMembers(...args),
    members: id => inner.members(id)
  }
  const open = (...keys: Buffer[]) =>
    encryptedStore(Object.assign(new MemoryTokenStore(), methods), keys, () => {}) as TokenStore & MemberStore
  const store = open(oldKey)
  await store.addMember('logins:alice', 'record', { session: 'of alice' }, { ttl: 60 })
  t.strictSame(await store.members('logins:alice'), [['record', { session: 'of alice' }]])
  const [[, sealed]] = await inner.members('logins:alice') as [[string, object]]
  t.notMatch(JSON.stringify(sealed), 'of alice')
  t.strictSame(Object.keys(sealed).sort(), ['key', 'sealed'])
  t.strictSame(await open(newKey).members('logins:alice'), [])
  t.equal((await open(newKey, oldKey).members('logins:alice')).length, 1)

  // Someone who can write into the store makes it bob's, or another login's, or odd.
  await inner.addMember('logins:bob', 'record', { ...sealed }, { ttl: 60 })
  await inner.addMember('logins:alice', 'another', { ...sealed }, { ttl: 60 })
  await inner.addMember('logins:alice', 'odd', { ...sealed, sealed: 'x' }, { ttl: 60 })
  await inner.addMember('logins:alice', 'open', { session: 'of bob' }, { ttl: 60 })
  t.strictSame(await store.members('logins:bob'), [])
  t.strictSame((await store.members('logins:alice')).map(([name]) => name), ['record'])
  t.equal(await store.addMember('logins:alice', 'gone', {}, { ttl: 60, onlyIfPresent: true }), false)
  await store.removeMembers('logins:alice', ['record'])
  t.strictSame(await store.members('logins:alice'), [])
})

t.test('no lease is taken on a record that cannot be read', async t => {
  const inner = wholeStore()
  await encryptedStore(inner, [oldKey], () => {}).set('a', record('alice'), { ttl: 60 })
  const lease = { owner: 'me', until: Date.now() + 60_000 }
  t.strictSame(await encryptedStore(inner, [newKey], () => {}).acquireRefresh!('a', lease), { state: 'gone' })
  const checked = checkedStore(inner, {
    timeoutMs: 5_000, isOfKind: { tokens: () => false }, onFailure: () => {}, onUnreadable: () => {}
  })
  t.strictSame(await checked.acquireRefresh!('a', lease), { state: 'gone' })
})
