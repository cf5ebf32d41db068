import type { TokenSet } from '../../../lib/index.ts'
import type { Members } from '../case.ts'
import type { Observation } from '../observation.ts'
import { observe, type Operation } from '../operation.ts'
import { json, Rig } from '../rig.ts'
import { DEVICE_ENDPOINT, SETTINGS } from '../settings.ts'
import { serve } from '../wire.ts'

const GRANTED = '{"access_token": "at1", "token_type": "Bearer"}'

/** A device login from its start to its tokens; the clock goes on by what is waited. */
export async function deviceTokens (given: Members, observed: Observation): Promise<TokenSet> {
  const waited: number[] = []
  let now: number = given.now ?? 1000
  const wait = async (seconds: number) => {
    waited.push(seconds)
    now += seconds
  }
  const { device_code: code = 'd', device_response: answer = { device_code: code, user_code: 'U', verification_uri: 'https://as.b/d', expires_in: 1800 }, poll_errors: errors } = given
  const polls = errors?.map((error: string | null) => error === null ? { status: 200, body: GRANTED } : { status: 400, body: JSON.stringify({ error }) })
  const rig = new Rig({
    given: { flow: 'device', ...given, ...(polls !== undefined && { token_response: polls }) },
    servers: [serve(DEVICE_ENDPOINT, json(answer))],
    clock: { now: () => now, wait }
  })
  Object.assign(observed, { publicClientId: rig.publicClientId, facts: { ...observed.facts, poll_intervals_s: waited } })
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
  given: [...SETTINGS, 'device_response', 'poll_errors'],
  run: async ({ given }) => await observe(async (observed) => {
    observed.tokens = await deviceTokens(given, observed)
  })
}

export const deviceOperations = { poll }
