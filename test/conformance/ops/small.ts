import { codeChallenge, createCodeVerifier, type ProviderHooks } from '../../../lib/index.ts'
import { NotUnderstood, type Members } from '../case.ts'
import { observe, type Operation } from '../operation.ts'
import { json, Rig } from '../rig.ts'
import { SETTINGS } from '../settings.ts'
import { serve } from '../wire.ts'

/** `challenge`: of a verifier. No method at all is `plain` (RFC 7636, section 4.3). */
const challenge: Operation = {
  given: ['verifier'],
  when: ['method'],
  run: async ({ given, when }) => await observe(async (observed) => {
    observed.facts = { challenge: codeChallenge(given.verifier, when.method ?? 'plain') }
  })
}

const verifier: Operation = {
  given: ['length'],
  run: async ({ given }) => await observe(async (observed) => {
    observed.facts = { text: createCodeVerifier(given.length ?? undefined) }
  })
}

const revokeRequest: Operation = {
  given: [...SETTINGS, 'url', 'token_type_hint'],
  when: ['token_type_hint'],
  run: async ({ given, when }) => await observe(async (observed) => {
    const { token, url, token_type_hint: hint = when.token_type_hint, ...rest } = given
    const rig = new Rig({ given: rest, options: { revocationEndpoint: url, clientSecret: 'sec' } })
    observed.wire = rig.wire.requests
    observed.facts = { revoked: await rig.provider.revoke(token, hint) }
  })
}

/** `introspect_request`: whether a token is still good. */
const introspectRequest: Operation = {
  given: [...SETTINGS, 'url', 'token_type_hint', 'answer'],
  run: async ({ given }) =>
    await observe(async observed => {
      const { token, url, token_type_hint: hint, answer = { active: true }, ...rest } = given
      const rig = new Rig({
        given: rest,
        options: { introspectionEndpoint: url, clientSecret: 'sec' },
        servers: [serve(url, json(answer))]
      })
      Object.assign(observed, rig.observed)
      observed.facts = await rig.provider.introspect(token, hint ?? undefined)
    })
}

const STAGE = ['hook', 'hook_type', 'type', 'stage', 'name']

/** `register_hook`: a hook for one stage, under the reference's name of it. */
const registerHook: Operation = {
  given: [...SETTINGS, ...STAGE],
  when: STAGE,
  run: async ({ given, when }) => await observe(async (observed) => {
    const stage = stageOf(when) ?? stageOf(given)
    if (stage === undefined) throw new NotUnderstood('register_hook without the name of a stage')
    const { name: _name, type: _type, hook: _hook, stage: _stage, ...rest } = given
    const camel = stage.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    const rig = new Rig({ given: rest, options: { hooks: { [camel]: () => {} } as ProviderHooks } })
    observed.wire = rig.wire.requests
  })
}

const stageOf = (members: Members) =>
  STAGE.map(key => members[key]).find(value => typeof value === 'string') as string | undefined

export const smallOperations = {
  challenge,
  verifier,
  revoke_request: revokeRequest,
  introspect_request: introspectRequest,
  introspect: introspectRequest,
  register_hook: registerHook
}
