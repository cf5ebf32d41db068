import { InvalidOptionsError } from '../errors.ts'
import type { TokenStore } from '../tokens/stores/token-store.ts'
import { optionsOf } from '../util/options-of.ts'
import { shown } from '../util/shown.ts'
import { refuseInProduction } from './refuse-in-production.ts'
import { concerns, type Rule, RULES, runRule } from './token-store-contract.ts'

/** Options of `checkTokenStore`. */
export interface CheckTokenStoreOptions {
  /**
   * Registers one test: `test` of node:test, of vitest, or of a tap test (`t.test`). Default none: all rules run at
   * once, and one error names those that are broken.
   */
  readonly test?: (title: string, run: () => Promise<void>) => unknown
  /**
   * Makes the store as another process has it: a second client of the same database. Default the store itself.
   */
  readonly createOther?: () => TokenStore | Promise<TokenStore>
}

/**
 * Checks that a token store keeps the contract of `TokenStore`, so that no login is lost and no ended login comes back.
 * Optional methods are checked if the store has them. Records have random ids, and expire within a day.
 * @param createStore makes the store; called once
 * @param options how broken rules are reported
 * @param options.test registers a test for each rule; default one check of all of them
 * @param options.createOther makes the store of another process with the same data; default the store itself
 * @returns resolves when all is checked, or all tests are registered
 * @throws Error that names each broken rule, if no `test` is given; FST_OAUTH_INVALID_OPTIONS if `createStore` is
 *   no function, or NODE_ENV is `production`
 */
export async function checkTokenStore (
  createStore: () => TokenStore | Promise<TokenStore>, options: CheckTokenStoreOptions = {}
): Promise<void> {
  refuseInProduction('checkTokenStore()')
  const { test, createOther } = optionsOf('checkTokenStore', options)
  if (typeof createStore !== 'function') {
    throw new InvalidOptionsError(`checkTokenStore() takes a function that makes the store, not ${shown(createStore)}`)
  }
  let made: Promise<[TokenStore, TokenStore]> | undefined
  const stores = () => {
    made ??= (async () => {
      const store = await createStore()
      return [store, await createOther?.() ?? store]
    })()
    return made
  }
  const run = async (rule: Rule) => {
    const [store, other] = await stores()
    if (concerns(rule, store)) await runRule(rule, store, other)
  }
  if (test !== undefined) {
    // Promises of tests are for the framework alone: tap runs a test when the one before it has ended.
    for (const rule of RULES) void test(rule.title, async () => { await run(rule) })
    return
  }
  await stores()
  const results = await Promise.allSettled(RULES.map(run))
  const broken = results.flatMap((result, at) => result.status === 'rejected' ? [{ rule: RULES[at]!, ...result }] : [])
  if (broken.length === 0) return
  const lines = broken.map(({ rule, reason }) =>
    `- ${rule.title}: ${String((Object(reason) as Error).message).replace(/\s+/g, ' ').slice(0, 300)}`)
  throw new Error(`the token store breaks ${broken.length} of ${RULES.length} rules:\n${lines.join('\n')}`, {
    cause: broken[0]!.reason
  })
}
