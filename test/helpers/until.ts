/**
 * Waits until something is so that nothing tells of: what another process does, or a promise that nobody waits for.
 * @param what said where it is not so after ten seconds
 */
export async function until (condition: () => unknown, what: string): Promise<void> {
  for (let looks = 0; looks < 1_000; looks++) {
    if (await condition()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`it has not come so far in ten seconds: ${what}`)
}
