import { isObject } from '../util/is-object.ts'
import { isTextList } from '../util/is-text.ts'

/** What a login is to have. */
export interface StepUp {
  scope: string[]
  /** Seconds since the user last authenticated. */
  maxAge?: number
  /** Authentication context classes; one of them will do. */
  acrValues: string[]
}

/** What a login lacks. */
export interface Lack {
  /** Scope that is not granted. */
  scope: string[]
  /** Whether the user authenticated too long ago, or in no way that will do. */
  authentication: boolean
}

/**
 * Compares a login with what it is to have. Where a claim is missing it says nothing, and the login lacks it.
 * @param login.now epoch seconds
 * @param login.clockTolerance seconds that the provider's clock may differ
 */
export function lackOf (
  { scope, maxAge, acrValues }: StepUp,
  login: { scope: readonly string[], claims: Record<string, unknown>, now: number, clockTolerance: number }
): Lack | undefined {
  const { claims: { auth_time: authTime, acr }, now, clockTolerance } = login
  const missing = scope.filter(item => !login.scope.includes(item))
  const isOld = maxAge !== undefined && !(typeof authTime === 'number' && authTime + maxAge + clockTolerance >= now)
  const isWeak = acrValues.length > 0 && !(typeof acr === 'string' && acrValues.includes(acr))
  const authentication = isOld || isWeak
  return missing.length === 0 && !authentication ? undefined : { scope: missing, authentication }
}

/** Whether a value of a store is a step-up. */
export function isStepUp (value: unknown): value is StepUp {
  if (!isObject(value)) return false
  const { scope, maxAge = 0, acrValues } = value
  return isTextList(scope) && isTextList(acrValues) && Number.isFinite(maxAge)
}
