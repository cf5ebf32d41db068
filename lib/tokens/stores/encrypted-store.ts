import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import {
  type AcquireRefreshResult, hasMembers, type RefreshLease, type StoredMember, type StoredRecord, type TokenStore
} from './token-store.ts'

/** A record at rest: provider and subject in the clear, everything else encrypted. */
interface SealedRecord extends StoredRecord {
  provider: string
  subject: string
  /** Names the key, so that the right one is tried first. */
  key: string
  sealed: string
}

interface Key {
  name: string
  secret: Buffer
}

/** Reads keys as they are configured: 32 bytes each, a Buffer or base64url. Undefined if one is anything else. */
export function parseEncryptionKeys (keys: readonly (Uint8Array | string)[]): Buffer[] | undefined {
  const parsed = keys.map(key => typeof key === 'string' ? Buffer.from(key, 'base64url') : toBuffer(key))
  return parsed.length > 0 && parsed.every(key => key?.length === 32) ? parsed as Buffer[] : undefined
}

const toBuffer = (key: unknown) => key instanceof Uint8Array ? Buffer.from(key) : undefined

/**
 * Encrypts what a store keeps with AES-256-GCM. Record id, provider and subject are authenticated data, so that one
 * record cannot be put in another's place. The first key encrypts, all of them decrypt: a record moves to the new key
 * when it is written.
 * @param onUnreadable called with a record's provider if no key decrypts it; the record is then treated as missing
 */
export function encryptedStore (
  store: TokenStore,
  keys: readonly Buffer[],
  onUnreadable: (provider: string) => void
): TokenStore {
  const named = keys.map((secret): Key => ({
    name: createHash('sha256').update(secret).digest('base64url').slice(0, 8),
    secret
  }))
  const open = (id: string, stored: StoredRecord | null | undefined): StoredRecord | undefined => {
    if (stored === undefined || stored === null) return undefined
    const record = unseal(id, stored as SealedRecord, named)
    if (record === undefined) onUnreadable(nameIn(stored as Partial<SealedRecord> | null))
    return record
  }
  const { acquireRefresh, finishRefresh } = store
  return {
    get: async id => open(id, await store.get(id)),
    set: (id, record, options) => store.set(id, seal(id, record, named[0]!), options),
    consume: async id => open(id, await store.consume(id)),
    touch: (id, options) => store.touch(id, options),
    delete: id => store.delete(id),
    ...(acquireRefresh !== undefined && finishRefresh !== undefined && {
      acquireRefresh: async (id: string, lease: RefreshLease): Promise<AcquireRefreshResult> => {
        const result = await acquireRefresh.call(store, id, lease)
        if (result.state === 'gone') return result
        const record = open(id, result.record)
        return record === undefined ? { state: 'gone' } : { ...result, record }
      },
      finishRefresh: (id: string, { record, ...outcome }: Parameters<typeof finishRefresh>[1]) =>
        finishRefresh.call(store, id, {
          ...outcome,
          ...(record !== undefined && { record: seal(id, record, named[0]!) })
        })
    }),
    ...(store.remove !== undefined && { remove: async (id: string) => open(id, await store.remove!(id)) }),
    ...(hasMembers(store) && {
      addMember: (id: string, member: string, value: StoredMember, options: { ttl: number }) =>
        store.addMember(id, member, encrypt(value, memberContext(id, member), named[0]!), options),
      removeMembers: (id: string, members: readonly string[]) => store.removeMembers(id, members),
      // If no key decrypts the member, none decrypts the tokens of its login either.
      members: async (id: string) => (await store.members(id)).flatMap(([member, sealed]): [string, StoredMember][] => {
        const value = decrypt(sealed, memberContext(id, member), named)
        return value === undefined ? [] : [[member, value as StoredMember]]
      })
    }),
    ...(store.inspect !== undefined && { inspect: () => store.inspect!() })
  }
}

// The parts are of fixed number and none can hold a line break, so no two contexts read the same.
const context = (id: string, version: number, provider: string, subject: string) =>
  Buffer.from(JSON.stringify([id, version, provider, subject]))

const memberContext = (id: string, member: string) => Buffer.from(JSON.stringify([id, member]))

/** A value as it is kept: the name of its key, and IV, authentication tag and ciphertext. */
type Sealed = Pick<SealedRecord, 'key' | 'sealed'>

/** @param aad additional authenticated data: where the value belongs */
function encrypt (value: object, aad: Buffer, key: Key): Sealed {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key.secret, iv)
  cipher.setAAD(aad)
  const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()])
  return { key: key.name, sealed: Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64url') }
}

/** Undefined if no key decrypts it. */
function decrypt (stored: unknown, aad: Buffer, keys: readonly Key[]): object | undefined {
  const { key, sealed } = Object(stored) as Partial<Sealed>
  if (typeof sealed !== 'string') return undefined
  const bytes = Buffer.from(sealed, 'base64url')
  for (const { secret } of keys.filter(({ name }) => name === key)) {
    try {
      const decipher = createDecipheriv('aes-256-gcm', secret, bytes.subarray(0, 12), { authTagLength: 16 })
      decipher.setAAD(aad)
      decipher.setAuthTag(bytes.subarray(12, 28))
      return JSON.parse(decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8')) as object
    } catch {
      continue // encrypted with another key, or changed
    }
  }
  return undefined
}

function seal (id: string, record: StoredRecord, key: Key): SealedRecord {
  const { version } = record
  const provider = String(record.provider ?? '')
  const subject = String((record.user as { id?: string } | null | undefined)?.id ?? '')
  return { version, provider, subject, ...encrypt(record, context(id, version, provider, subject), key) }
}

// The value in place of a record may be anything; it must not get into a log.
function nameIn (stored: Partial<SealedRecord> | null): string {
  const provider = stored?.provider
  return typeof provider === 'string' && /^[\w-]{1,64}$/.test(provider) ? provider : ''
}

function unseal (id: string, stored: Partial<SealedRecord> | null, keys: readonly Key[]): StoredRecord | undefined {
  const { version, provider, subject } = Object(stored) as Partial<SealedRecord>
  if (typeof version !== 'number' || typeof provider !== 'string' || typeof subject !== 'string') return undefined
  return decrypt(stored, context(id, version, provider, subject), keys) as StoredRecord | undefined
}
