import type { HttpResponse } from '../../oauth/token-response.ts'
import type { ProviderHooks } from '../options.ts'

type RequestHook<Request> = ((request: Request) => unknown) | undefined
type ResponseHook = ProviderHooks['accessTokenResponse']

/**
 * Combines two sets of hooks: of each hook the first one runs, then the second one on its result.
 * @param first a provider's own
 * @param second a session's
 */
export function combineHooks (first: ProviderHooks, second: ProviderHooks | null | undefined): ProviderHooks {
  if (second === undefined || second === null) return first
  return {
    accessTokenRequest: inOrder(first.accessTokenRequest, second.accessTokenRequest),
    accessTokenResponse: responsesInOrder(first.accessTokenResponse, second.accessTokenResponse),
    refreshTokenRequest: inOrder(first.refreshTokenRequest, second.refreshTokenRequest),
    refreshTokenResponse: responsesInOrder(first.refreshTokenResponse, second.refreshTokenResponse),
    protectedRequest: inOrder(first.protectedRequest, second.protectedRequest)
  }
}

function inOrder<Request> (first: RequestHook<Request>, second: RequestHook<Request>): RequestHook<Request> {
  if (first === undefined || second === undefined) return first ?? second
  return async (request) => {
    await first(request)
    await second(request)
  }
}

function responsesInOrder (first: ResponseHook, second: ResponseHook): ResponseHook {
  if (first === undefined || second === undefined) return first ?? second
  return async (answer: HttpResponse) => {
    const changed = await first(answer) ?? answer
    return await second(changed) ?? changed
  }
}
