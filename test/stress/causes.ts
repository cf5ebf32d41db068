import { overlaps, type ChaosJournal, type Family, type Login, type Presentation } from './journal.ts'
import { losesAnswer } from './provider-faults.ts'

/** Why a refresh token was used twice, or a login lost, where no client could have prevented it. */
export type Cause =
  | 'worker killed while it held the rotated token'
  | 'answer lost in transit'
  | 'worker paused while the answer was on its way'
  | 'worker paused between its last check and the send'
  | 'Redis forgot what it had acknowledged'
  | 'UNEXPLAINED'

export const CAUSES: readonly Cause[] = [
  'worker killed while it held the rotated token',
  'answer lost in transit',
  'worker paused while the answer was on its way',
  'worker paused between its last check and the send',
  'Redis forgot what it had acknowledged',
  'UNEXPLAINED'
]

/** Milliseconds within which a worker writes an answer that it has, unless something keeps it from it. */
const WRITE_MS = 1_000
/** Milliseconds that a worker may take to reconnect. */
const RECONNECT_MS = 2_200
/** Milliseconds for which a lease holds other processes off. */
const INTENT_MS = 5_000

/** A refresh token that was used again. */
export interface Reuse {
  family: Family
  again: Presentation
  /** When it was used first. */
  first: Presentation
  cause: Cause
}

/** Finds out why, from what the provider has seen and what was done to the processes. */
export class Inquest {
  readonly reuses: Reuse[] = []
  readonly #chaos: ChaosJournal
  readonly #families: ReadonlyMap<string, Family>
  readonly #forgets: boolean

  /** @param forgets Redis keeps only snapshots, so that a kill takes back what it has acknowledged */
  constructor (families: readonly Family[], chaos: ChaosJournal, forgets: boolean) {
    this.#chaos = chaos
    this.#forgets = forgets
    this.#families = new Map(families.map(family => [family.code, family]))
    for (const family of families) {
      for (const again of family.presentations) {
        const first = family.presentations.find(({ n, outcome }) => n === again.n && outcome === 'rotated')
        if (first === undefined || again === first || again.at < first.at || again.outcome === 'dropped') continue
        this.reuses.push({ family, again, first, cause: this.#causeOfReuse(again, first) })
      }
    }
  }

  /** The code that a family's first tokens were given for. */
  codeOf (family: string): string | undefined {
    return [...this.#families.values()].find(({ name }) => name === family)?.code
  }

  familyOf ({ code }: Pick<Login, 'code'>): Family | undefined { return this.#families.get(code) }

  causeOfLoss (login: Pick<Login, 'code' | 'at' | 'lostAt'>): Cause {
    const family = this.familyOf(login)
    const reuse = this.reuses.find(reuse => reuse.family === family)
    if (reuse !== undefined && family?.revokedBy === 'reuse') return reuse.cause
    if (this.forgotten(login.at, login.lostAt ?? Date.now())) return 'Redis forgot what it had acknowledged'
    return 'UNEXPLAINED'
  }

  /** Whether Redis lost acknowledged writes in that time. */
  forgotten (from: number, to: number): boolean {
    return this.#forgets && this.#chaos.redis.some(outage => outage.how === 'SIGKILL' && overlaps(outage, { from, to }))
  }

  #causeOfReuse (again: Presentation, first: Presentation): Cause {
    if (losesAnswer(first.fault) || first.cut === 'outage') return 'answer lost in transit'
    // An answer that was out when the provider went away may not have come through.
    if (
      first.answeredAt !== undefined &&
      this.#chaos.provider.some(({ from }) => from >= first.answeredAt! && from - first.answeredAt! < 50)
    ) { return 'answer lost in transit' }
    const holder = this.#chaos.lives.find(({ name }) => name === first.worker)
    const sender = this.#chaos.lives.find(({ name }) => name === again.worker)
    if (this.forgotten(first.at, again.at)) return 'Redis forgot what it had acknowledged'

    // From here on the holder had the answer, or it was on its way: until when may it not have been written?
    const written = this.#writtenBy(first)
    if (holder?.end !== undefined && holder.to >= first.at && holder.to <= written && holder.to <= again.at + 50) {
      return 'worker killed while it held the rotated token'
    }
    if (holder?.pauses.some(pause => overlaps(pause, { from: first.at, to: Math.min(written, again.at) }))) {
      return 'worker paused while the answer was on its way'
    }
    if (
      sender?.pauses.some(
        ({ from, to }) =>
          to >= first.at - 50 && to <= again.at && again.at - to < WRITE_MS && to - from > INTENT_MS - WRITE_MS
      )
    ) {
      return 'worker paused between its last check and the send'
    }
    return 'UNEXPLAINED'
  }

  /** The latest moment at which an answer was written, as long as nothing but Redis kept its holder from it. */
  #writtenBy ({ answeredAt }: Presentation): number {
    let written = (answeredAt ?? Infinity) + WRITE_MS
    for (const outage of [...this.#chaos.redis].sort((a, b) => a.from - b.from)) {
      // A write that was under way is told of its failure late, and tried again a second later at most.
      if (answeredAt !== undefined && outage.from <= written && outage.to >= answeredAt) {
        written = outage.to + RECONNECT_MS + WRITE_MS
      }
    }
    return written
  }
}
