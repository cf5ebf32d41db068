import type { ProviderClient } from './provider-client.ts'
import { timedOut } from './refresh-errors.ts'

/** Waits for some work, but no longer than `ms` milliseconds; the work goes on. */
export async function within (work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([work, new Promise((resolve) => { timer = setTimeout(resolve, ms) })]).finally(() => clearTimeout(timer))
}

/** Waits `requestTimeout` at most; what is waited for goes on. @throws FST_OAUTH_PROVIDER_UNAVAILABLE */
export function bounded<T> (work: Promise<T>, provider: ProviderClient): Promise<T> {
  let timer: NodeJS.Timeout
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(timedOut(provider)), provider.config.requestTimeout)
  })
  return Promise.race([work, timeout]).finally(() => clearTimeout(timer))
}
