import type { TokenSet } from '../../../lib/index.ts'
import type { Members } from '../case.ts'
import type { Observation } from '../observation.ts'
import { observe, type Operation } from '../operation.ts'
import { json, Rig } from '../rig.ts'
import { DEVICE_ENDPOINT, SETTINGS } from '../settings.ts'
import { serve } from '../wire.ts'

const GRANTED = '{"access_token": "at1", "token_type": "Bearer"}'

/** A provider for devices, and a clock that goes on by what is waited. */
function deviceRig (given: Members) {
  const waited: number[] = []
  let now: number = given.now ?? 1000
  const wait = async (seconds: number) => {
    waited.push(seconds)
    now += seconds
  }
  const {
    device_code: code = 'd',
    device_response: answer = {
      device_code: code,
      user_code: 'U',
      verification_uri: 'https://as.b/d',
      expires_in: 1800
    },
    poll_errors: errors
  } = given
  const polls = errors?.map((error: string | null) =>
    error === null ? { status: 200, body: GRANTED } : { status: 400, body: JSON.stringify({ error }) }
  )
  const rig = new Rig({
    given: { flow: 'device', ...given, ...(polls !== undefined && { token_response: polls }) },
    servers: [serve(DEVICE_ENDPOINT, json(answer, answer.error === undefined ? 200 : 400))],
    clock: { now: () => now, wait }
  })
  return { rig, waited }
}

/** A device login from its start to its tokens. */
export async function deviceTokens (given: Members, observed: Observation): Promise<TokenSet> {
  const { rig, waited } = deviceRig(given)
  Object.assign(observed, rig.observed, { facts: { ...observed.facts, poll_intervals_s: waited } })
  try {
    const device = await rig.provider.device()
    return await device.tokens()
  } finally {
    // How the device was announced is not what the cases look at.
    observed.wire = rig.wire.requests.filter(({ url }) => url !== DEVICE_ENDPOINT)
  }
}

/** `poll`: the token endpoint is asked until the user has answered. */
const poll: Operation = {
  given: [...SETTINGS, 'device_code', 'device_response', 'poll_errors'],
  run: async ({ given }) => await observe(async (observed) => {
    observed.tokens = await deviceTokens(given, observed)
  })
}

/** `device_authorization`: what a device login begins with. */
const deviceAuthorization: Operation = {
  given: [...SETTINGS, 'device_response'],
  run: async ({ given }) => await observe(async (observed) => {
    const { rig } = deviceRig(given)
    Object.assign(observed, rig.observed)
    const device = await rig.provider.device()
    observed.facts = {
      device_code: device.deviceCode,
      user_code: device.userCode,
      verification_uri: device.verificationUri,
      verification_uri_complete: device.verificationUriComplete,
      expires_at: device.expiresAt,
      interval: device.interval
    }
  })
}

export const deviceOperations = { poll, device_authorization: deviceAuthorization }
