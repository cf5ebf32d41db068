import { AuthorizationFailedError, InvalidResponseError, type OAuthError } from '../errors.ts'
import { parseMembers } from '../oauth/token-response.ts'
import { parseScope } from '../oauth/token-set.ts'
import { setParameters } from '../oauth/urls.ts'
import {
  appsOwnParams, DEVICE_GRANT, type GrantOptions, type GrantResult, refusedGrant, scopeParameter
} from './grants.ts'
import type { ProviderClient } from './provider.ts'
import { refusedForm } from './refused-form.ts'
import { requestTokens } from './token-endpoint.ts'

/** A device authorization response (RFC 8628, section 3.2). */
export interface DeviceAuthorization {
  /** The code that the token requests hold. */
  deviceCode: string
  /** The code that the user types in at `verificationUri`. */
  userCode: string
  /** Where the user confirms the login. */
  verificationUri: string
  /** The same URI with the code in it, for a QR code. */
  verificationUriComplete?: string
  /** When both codes expire, in epoch seconds. */
  expiresAt: number
  /** Seconds between two token requests. */
  interval: number
}

/**
 * Starts a device authorization (RFC 8628, section 3.1).
 * @param now epoch seconds
 * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_RESPONSE
 */
export async function startDevice (
  provider: ProviderClient, now: number, options: GrantOptions = {}
): Promise<DeviceAuthorization> {
  const params = setParameters(setParameters(new URLSearchParams(), appsOwnParams(provider)), options.params)
  const answer = await provider.form(
    'device_authorization_endpoint',
    setParameters(params, { client_id: provider.config.clientId, scope: scopeParameter(provider, options) })
  )
  const members = parseMembers(answer.text) ?? {}
  const refused = refusedForm(provider, 'a device authorization', answer.status, members)
  if (refused !== undefined) throw refused
  // Some write `verification_url`, as the drafts did.
  const uri = members.verification_uri ?? members.verification_url
  if (typeof members.device_code !== 'string' || typeof members.user_code !== 'string' || typeof uri !== 'string') {
    throw new InvalidResponseError(`the device authorization answer of provider "${provider.name}" cannot be used`, {
      provider: provider.name,
      responseStatus: answer.status
    })
  }
  const complete = members.verification_uri_complete
  return {
    deviceCode: members.device_code,
    userCode: members.user_code,
    verificationUri: uri,
    ...(typeof complete === 'string' && { verificationUriComplete: complete }),
    expiresAt: now + secondsOf(members.expires_in, { min: 1, max: MAX_DEVICE_LIFE, otherwise: 600 }),
    interval: secondsOf(members.interval, { min: 1, max: MAX_INTERVAL, otherwise: DEFAULT_INTERVAL })
  }
}

/** Seconds between two token requests: by default (RFC 8628, section 3.2), and at most. */
const DEFAULT_INTERVAL = 5
const MAX_INTERVAL = 300
/** Seconds that a device code lives at most. */
const MAX_DEVICE_LIFE = 30 * 86_400

// The value becomes a timer: one that is no positive number would poll without a pause.
function secondsOf (value: unknown, { min, max, otherwise }: { min: number, max: number, otherwise: number }): number {
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof seconds !== 'number' || Number.isNaN(seconds) || seconds <= 0) return otherwise
  return Math.min(Math.max(seconds, min), max)
}

/**
 * Polls the token endpoint until the user has decided (RFC 8628, sections 3.4 and 3.5), five seconds slower after each
 * `slow_down`.
 * @param wait waits for some seconds; rejects if the caller has given up
 * @throws FST_OAUTH_AUTHORIZATION_FAILED: `access_denied`, `expired_token`, …
 */
export async function pollDevice (
  provider: ProviderClient,
  device: DeviceAuthorization,
  { now, wait }: { now: () => number, wait: (seconds: number) => Promise<void> },
  options: GrantOptions = {}
): Promise<GrantResult> {
  let { interval } = device
  for (;;) {
    const left = device.expiresAt - now()
    await wait(Math.max(0, Math.min(interval, left)))
    if (left < interval || now() > device.expiresAt) throw expiredDevice(provider)
    const response = await requestTokens(provider, {
      grantType: DEVICE_GRANT,
      grant: { device_code: device.deviceCode },
      params: [provider.config.tokenParams],
      scope: parseScope(options.scope) ?? [...provider.config.scope],
      dpopKey: options.dpopKey
    }).catch((error: OAuthError) => {
      // After a timeout the client polls more slowly (section 3.5).
      if (error.code !== 'FST_OAUTH_PROVIDER_UNAVAILABLE') throw error
      return { error }
    })
    if (!('error' in response)) return response
    const { oauthError, code, retryAfter = 0 } = response.error
    if (code === 'FST_OAUTH_PROVIDER_UNAVAILABLE') interval = Math.min(Math.max(interval * 2, retryAfter), MAX_INTERVAL)
    else if (oauthError === 'slow_down') interval += 5
    else if (oauthError !== 'authorization_pending') throw refusedGrant(provider, DEVICE_GRANT, response.error)
  }
}

function expiredDevice ({ name }: ProviderClient): OAuthError {
  const message = `the device login at provider "${name}" was not confirmed in time; start it again`
  return new AuthorizationFailedError(message, { provider: name, oauthError: 'expired_token', reason: 'refused' })
}
