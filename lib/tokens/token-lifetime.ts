import type { TokenRecord } from './record.ts'

/** How long the tokens of a login may be used, whatever their own time is. */
export interface TokenLifetime {
  /** Whether anything but the record itself limits it. */
  readonly isTimed: boolean
  /** Whether it is over, as far as is known without asking the store. */
  mayBeOver (): boolean
  /** Ends the login if it is over. @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_STORE_UNAVAILABLE */
  check (): Promise<void>
}

/** Whether the tokens of a record may be over before their own time. */
export function isTimed (
  { providerEnds }: TokenRecord, { lifetime }: { lifetime?: TokenLifetime | undefined }
): boolean {
  return lifetime !== undefined && (lifetime.isTimed || providerEnds !== undefined)
}
