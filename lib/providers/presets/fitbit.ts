import { InvalidOptionsError } from '../../errors.ts'
import type { ProviderOptions } from '../options.ts'
import type { PresetOptions } from './preset.ts'

/**
 * Fitbit, which is closed: its Web API and its logins have answered 410 since 2 November 2026
 * (developers.google.com/health/about, "About the Google Health API"; developers.google.com/health/migration,
 * "Migration guide"). What replaces it is the Google Health API, with Google's logins.
 *
 * @deprecated use `google` with the scopes of the Google Health API
 * @param _options nothing of them can be used
 * @returns never
 * @throws FST_OAUTH_INVALID_OPTIONS always, with the way out
 */
export function fitbit (_options?: PresetOptions): ProviderOptions {
  throw new InvalidOptionsError('fitbit() is closed: the Fitbit Web API and its logins ended on 2 November 2026; ' +
    'use google() with scopes of the Google Health API (https://www.googleapis.com/auth/googlehealth.…; ' +
    'developers.google.com/health) and https://health.googleapis.com/ in resourceServers', { reason: 'configuration' })
}
