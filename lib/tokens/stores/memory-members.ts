import type { MemberStore, StoredMember } from './token-store.ts'

interface Member {
  name: string
  value: StoredMember
  /** Epoch seconds, a whole number. */
  until: number
}

/** Most sets have one member, which needs no Map. */
type MemberSet = Member | Map<string, Member>

/** Members that each addition looks at, to drop expired ones. */
const STEPS = 2

const ofStores = new WeakMap<object, MemoryMembers>()

/** Keeps sets in this process, as long as the object that they belong to lives: an in-memory session store. */
export class MemoryMembers implements MemberStore {
  readonly #sets = new Map<string, MemberSet>()
  readonly #now: () => number
  #walk = this.#all()

  /** @param now epoch milliseconds */
  constructor (now: () => number = () => Date.now()) {
    this.#now = now
  }

  /** The sets that belong to an object, the same for all who ask. */
  static of (owner: object): MemoryMembers {
    const found = ofStores.get(owner) ?? new MemoryMembers()
    ofStores.set(owner, found)
    return found
  }

  /** The number of members in all sets, expired ones included, for tests of leaks. */
  get size (): number { return [...this.#sets.values()].reduce((sum, set) => sum + membersOf(set).length, 0) }

  async addMember (
    id: string, member: string, value: StoredMember,
    { ttl, onlyIfPresent = false }: { ttl: number, onlyIfPresent?: boolean }
  ): Promise<boolean> {
    this.#sweep()
    const set = this.#sets.get(id)
    if (onlyIfPresent && !this.#isAlive(find(set, member))) return false
    const added: Member = { name: member, value, until: Math.ceil(this.#now() / 1000 + ttl) }
    this.#sets.set(set === undefined ? compact(id) : id, withMember(set, added))
    return true
  }

  async removeMembers (id: string, members: readonly string[]): Promise<void> {
    for (const member of members) this.#remove(id, member)
  }

  async members (id: string): Promise<[string, StoredMember][]> {
    const alive = membersOf(this.#sets.get(id)).filter(member => this.#isAlive(member))
    return alive.map(({ name, value }) => [name, value])
  }

  #isAlive (member: Member | undefined): boolean {
    return member !== undefined && member.until * 1000 > this.#now()
  }

  #remove (id: string, member: string): void {
    const set = this.#sets.get(id)
    if (set instanceof Map ? set.delete(member) && set.size === 0 : set?.name === member) this.#sets.delete(id)
  }

  // A few members at each addition, whatever their lives, keep the sets small without a timer.
  #sweep (): void {
    for (let step = 0; step < STEPS; step++) {
      const next = this.#walk.next()
      if (next.done === true) {
        this.#walk = this.#all()
        return
      }
      const [id, member] = next.value
      if (!this.#isAlive(member)) this.#remove(id, member.name)
    }
  }

  /** Goes through all members; those that come or go meanwhile do not disturb it. */
  * #all (): Generator<[id: string, member: Member], void> {
    for (const [id, set] of this.#sets) {
      if (!(set instanceof Map)) yield [id, set]
      else for (const member of set.values()) yield [id, member]
    }
  }
}

/** A text without the parts that it was built of, which the engine keeps beside it. */
const compact = (text: string) => Buffer.from(text).toString()

function find (set: MemberSet | undefined, name: string): Member | undefined {
  if (set instanceof Map) return set.get(name)
  return set?.name === name ? set : undefined
}

function withMember (set: MemberSet | undefined, member: Member): MemberSet {
  if (set instanceof Map) return set.set(member.name, member)
  if (set === undefined || set.name === member.name) return member
  return new Map([[set.name, set], [member.name, member]])
}

function membersOf (set: MemberSet | undefined): Member[] {
  if (set === undefined) return []
  return set instanceof Map ? [...set.values()] : [set]
}
