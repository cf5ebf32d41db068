/** The time that this part of the operations took at most. @param sorted times in ascending order */
export function quantile (sorted: ArrayLike<number>, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}
