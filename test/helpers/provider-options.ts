import type { TlsOptions } from 'node:tls'
import type { TestProviderOptions } from '../../lib/testing/provider-options.ts'

/** Options of `startProvider`. */
export interface ProviderOptions extends Omit<TestProviderOptions, 'issuer'> {
  /** Over TLS, with these settings; the API as well. */
  readonly tls?: TlsOptions
  /** The host of the issuer, always on the loopback interface: `localhost` is another site than 127.0.0.1. */
  readonly host?: string
}
