/** A map of at most `max` entries: one more drops the entry that was set the longest time ago. */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #max: number
  readonly #onDrop: ((key: K, value: V) => void) | undefined
  /** Continues where it was: from the start it would pass by all that has been deleted, each time. */
  #oldest: MapIterator<[K, V]> | undefined

  /** @param onDrop called with each entry that had to make room; not for a `delete` */
  constructor (max: number, onDrop?: (key: K, value: V) => void) {
    super()
    this.#max = max
    this.#onDrop = onDrop
  }

  override set (key: K, value: V): this {
    const { size } = this
    super.set(key, value)
    if (this.size === size) {
      // It was there, and is the newest one now.
      this.delete(key)
      super.set(key, value)
    }
    if (this.size > this.#max) {
      this.#oldest ??= this.entries()
      const [oldest, dropped] = this.#oldest.next().value!
      this.delete(oldest)
      this.#onDrop?.(oldest, dropped)
    } else this.#oldest = undefined // an idle iterator keeps every table that the map has outgrown
    return this
  }
}
