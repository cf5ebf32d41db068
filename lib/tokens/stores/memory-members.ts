import type { MemberStore, StoredMember } from './token-store.ts'

interface Member {
  value: StoredMember
  /** Epoch milliseconds. */
  until: number
}

/** Members that each addition looks at, to drop those whose time is over. */
const STEPS = 3

const ofStores = new WeakMap<object, MemoryMembers>()

/** Keeps sets in this process, as long as the object that they belong to lives: an in-memory session store. */
export class MemoryMembers implements MemberStore {
  readonly #sets = new Map<string, Map<string, Member>>()
  readonly #now: () => number
  #walk = this.#all()

  /** @param now epoch milliseconds */
  constructor (now: () => number = Date.now) {
    this.#now = now
  }

  /** The sets that belong to an object, the same for all who ask. */
  static of (owner: object): MemoryMembers {
    const found = ofStores.get(owner) ?? new MemoryMembers()
    ofStores.set(owner, found)
    return found
  }

  /** How many members there are, in all sets, also of those whose time is over, for tests of leaks. */
  get size (): number { return [...this.#sets.values()].reduce((sum, { size }) => sum + size, 0) }

  async addMember (
    id: string, member: string, value: StoredMember,
    { ttl, onlyIfPresent = false }: { ttl: number, onlyIfPresent?: boolean }
  ): Promise<boolean> {
    this.#sweep()
    const set = this.#sets.get(id) ?? new Map<string, Member>()
    if (onlyIfPresent && !this.#isAlive(set.get(member))) return false
    this.#sets.set(id, set.set(member, { value, until: this.#now() + ttl * 1000 }))
    return true
  }

  async removeMembers (id: string, members: readonly string[]): Promise<void> {
    for (const member of members) this.#remove(id, member)
  }

  async members (id: string): Promise<[string, StoredMember][]> {
    const alive = [...this.#sets.get(id) ?? []].filter(([, member]) => this.#isAlive(member))
    return alive.map(([name, { value }]) => [name, value])
  }

  #isAlive (member: Member | undefined): boolean {
    return member !== undefined && member.until > this.#now()
  }

  #remove (id: string, member: string): void {
    const set = this.#sets.get(id)
    set?.delete(member)
    if (set?.size === 0) this.#sets.delete(id)
  }

  // A few members at each addition, whatever their lives, keep the sets small without a timer.
  #sweep (): void {
    for (let step = 0; step < STEPS; step++) {
      const next = this.#walk.next()
      if (next.done === true) {
        this.#walk = this.#all()
        return
      }
      const [id, name, member] = next.value
      if (!this.#isAlive(member)) this.#remove(id, name)
    }
  }

  /** Goes through all members; those that come or go meanwhile do not disturb it. */
  * #all (): Generator<[id: string, name: string, member: Member], void> {
    for (const [id, set] of this.#sets) for (const [name, member] of set) yield [id, name, member]
  }
}
