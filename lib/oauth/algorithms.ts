/** The signature algorithms that a provider may use; `none` and the symmetric ones are not among them. */
export const ACCEPTED_ALGORITHMS: readonly string[] = [
  'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'
]

/** Whether a provider may sign with an algorithm. */
export const isAccepted = (algorithm: string): boolean => ACCEPTED_ALGORITHMS.includes(algorithm)

/** The algorithms of FAPI 2.0 Security Profile, section 5.4.1. */
export const PROFILE_ALGORITHMS: readonly string[] = ['PS256', 'ES256', 'EdDSA', 'Ed25519']

/** Whether FAPI 2.0 takes signatures by an algorithm. */
export const fitsProfile = (algorithm: string | undefined): boolean => PROFILE_ALGORITHMS.includes(algorithm!)
