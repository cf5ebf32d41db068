import { claimVariants, type IdTokenVariant } from '../id-token-sentences.ts'
import { Browser, loginSite } from '../login-site.ts'
import { codesOf } from '../error-codes.ts'
import type { Observation } from '../observation.ts'
import { observeAndClose, type Operation } from '../operation.ts'

/**
 * `validate_id_token`: a login whose ID token is as a sentence says. Where it means several, all must come to the same.
 */
const validateIdToken: Operation = {
  given: ['id_token', 'flow'],
  run: async ({ given }) => {
    const variants = claimVariants(given.id_token ?? given.flow)
    const outcomes: Observation[] = []
    for (const variant of variants) outcomes.push(await login(variant))
    const [first] = outcomes
    const odd = outcomes.find(({ error }) => codesOf(error)[0] !== codesOf(first!.error)[0])
    if (odd !== undefined) {
      return {
        error: new Error(
          `not every kind of "${given.id_token}" comes to the same: one is ${codesOf(odd.error)[0] ?? 'fine'}`
        )
      }
    }
    return first!
  }
}

async function login (variant: IdTokenVariant): Promise<Observation> {
  return await observeAndClose(async (observed, cleanup) => {
    const site = await loginSite(cleanup)
    const { clientId } = site.provider
    site.provider.wrong = variant({ clientId, now: Math.floor(Date.now() / 1000) })
    const browser = new Browser()
    await site.open(browser, await site.begin(browser))
    observed.facts = { ok: await site.userOf(browser) === 'alice' }
    observed.error = site.errors.at(-1)
  })
}

export const idTokenOperations = { validate_id_token: validateIdToken }
