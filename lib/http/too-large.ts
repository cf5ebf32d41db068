import { InvalidResponseError } from '../errors.ts'

/** The error for a body that exceeds its limit, packed or unpacked. */
export function tooLarge (limit: number): InvalidResponseError {
  return new InvalidResponseError(`the answer is larger than ${limit} bytes`, { reason: 'too_large' })
}
