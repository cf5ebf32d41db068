import { InvalidOptionsError } from '../errors.ts'

/**
 * Keeps a test helper, which can log in as anyone, out of production.
 * @throws FST_OAUTH_INVALID_OPTIONS if NODE_ENV is `production`
 */
export function refuseInProduction (name: string): void {
  if (process.env.NODE_ENV !== 'production') return
  throw new InvalidOptionsError(
    `${name} is for tests and does not run with NODE_ENV=production; take it out of what is deployed, or run the ` +
      'tests with another NODE_ENV',
    { reason: 'configuration' }
  )
}
