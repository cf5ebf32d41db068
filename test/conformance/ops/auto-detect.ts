import { NotUnderstood } from '../case.ts'
import { observe, type Operation } from '../operation.ts'
import { json, Rig } from '../rig.ts'
import { SETTINGS } from '../settings.ts'
import { serve, type WireAnswer, type WireRequest } from '../wire.ts'

/** How a token request proves who the client is. */
function styleOf ({ headers, body }: WireRequest): 'basic' | 'body' | 'none' {
  if (headers.authorization?.startsWith('Basic ') === true) return 'basic'
  return new URLSearchParams(body).has('client_secret') ? 'body' : 'none'
}

/** `answers 401 invalid_client to Basic and 200 to body credentials` as what is answered to each style. */
function readAnswers (sentence: string): Partial<Record<'basic' | 'body', WireAnswer>> {
  const answers: Partial<Record<'basic' | 'body', WireAnswer>> = {}
  for (const [, status, error, style] of sentence.matchAll(/(\d{3})(?: (\w+))? to (Basic|body)/gi)) {
    const body = Number(status) < 300 ? { access_token: 'at1', token_type: 'Bearer' } : { error }
    answers[style!.toLowerCase() as 'basic' | 'body'] = json(body, Number(status))
  }
  if (Object.keys(answers).length === 0) throw new NotUnderstood(`given.flow "${sentence}"`)
  return answers
}

/** `auto_detect`: a server that takes one of two styles, and a client that was not told which. */
const autoDetect: Operation = {
  given: SETTINGS,
  run: async ({ given: { flow, ...given } }) =>
    await observe(async observed => {
      const answers = readAnswers(flow)
      const rig = new Rig({
        given,
        servers: [
          request =>
            answers[styleOf(request) as 'basic' | 'body'] ??
            serve(request.url, json({ error: 'invalid_client' }, 401))(request)
        ]
      })
      const exchanges = /second exchange|two exchanges|exchanged? twice/.test(flow) ? 2 : 1
      const wire = rig.wire.requests
      observed.wire = wire
      observed.facts = {
        get wire_summary () {
          return wire.map(styleOf)
        }
      }
      for (let count = 0; count < exchanges; count++) {
        observed.tokens = await rig.session().fetchTokens({ code: `code-${count}` })
      }
    })
}

export const autoDetectOperations = { auto_detect: autoDetect }
