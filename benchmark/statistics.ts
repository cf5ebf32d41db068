/** Of an even number of values, the mean of the two in the middle. */
export function median (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export interface Ratio {
  /** The median over the rounds. */
  median: number
  least: number
  greatest: number
}

/** Within each round, since what slows the machine down slows both. */
export function ratioOf (values: readonly number[], base: readonly number[]): Ratio {
  const ratios = values.map((value, round) => value / base[round]!)
  return { median: median(ratios), least: Math.min(...ratios), greatest: Math.max(...ratios) }
}
