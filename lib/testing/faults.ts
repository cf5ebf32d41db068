import { InvalidOptionsError } from '../errors.ts'
import type { Answer, Fault } from './endpoint.ts'

/**
 * How an endpoint fails: with a status; with an OAuth error (RFC 6749, section 5.2); with a given answer; by
 * `network_error`, where the connection is cut before the provider has acted, or `answer_lost`, where it is cut after
 * that, so that a rotated refresh token is lost on its way; or by a function.
 */
export type TestFault =
  | number
  | { error: string, error_description?: string, status?: number }
  | Answer
  | 'network_error'
  | 'answer_lost'
  | Fault

const CUTS: Record<string, Fault> = {
  network_error: ({ response }) => { response.destroy() },
  answer_lost: async ({ process, response }) => {
    await process()
    response.destroy()
  }
}

/** A fault as an endpoint takes it. @throws FST_OAUTH_INVALID_OPTIONS for a word that is no fault */
export function faultOf (fault: TestFault): Fault {
  if (typeof fault === 'function') return fault
  if (typeof fault === 'string') {
    if (Object.hasOwn(CUTS, fault)) return CUTS[fault]!
    const known = Object.keys(CUTS).join(', ')
    throw new InvalidOptionsError(`there is no fault "${fault}"; write one of ${known}, a status, or { error }`)
  }
  if (typeof fault === 'number') return () => ({ status: fault, headers: TEXT, body: `status ${fault} of a test` })
  if (!('error' in fault)) return () => fault
  const { status = fault.error === 'invalid_client' ? 401 : 400, ...body } = fault
  return () => ({ status, headers: { 'content-type': 'application/json' }, body })
}

const TEXT = { 'content-type': 'text/plain' }
