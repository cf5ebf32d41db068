import { request } from 'undici'
import { InvalidOptionsError } from '../errors.ts'
import { Cookies } from './cookies.ts'
import { firstForm } from './html-form.ts'
import { type DecidedLogin, LOGIN_HEADER } from './provider-core.ts'
import { insideOf, type TestProvider } from './provider.ts'

/** What the browser brings back to the app. */
export interface AuthorizationResponse {
  readonly url: URL
  /** Where it is posted (`response_mode=form_post`). */
  readonly form?: Record<string, string>
}

const MAX_STEPS = 20

/**
 * Walks a login through the pages of a test provider, as a browser would.
 * @param url the authorization request
 * @throws FST_OAUTH_INVALID_OPTIONS if the provider answers with a page of its own
 */
export async function authorize (
  provider: TestProvider, url: URL, decided: DecidedLogin
): Promise<AuthorizationResponse> {
  const { core } = insideOf(provider)
  const { dispatcher } = provider
  const { value, forget } = core.decide(decided)
  const cookies = new Cookies()
  try {
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const headers = { cookie: cookies.header, accept: 'text/html', [LOGIN_HEADER]: value }
      const { statusCode, headers: answered, body } = await request(url, { dispatcher, headers })
      cookies.store(answered['set-cookie'])
      const page = await body.text()
      if (typeof answered.location !== 'string') {
        const { action, fields } = firstForm(page) ?? { action: '', fields: {} }
        if (statusCode === 200 && action !== '') return { url: new URL(action, url), form: fields }
        throw refused(statusCode, page)
      }
      const next = new URL(answered.location, url)
      if (!isOwnPage(next, url)) return { url: next }
      url = next
    }
    throw new InvalidOptionsError(`the test provider redirects without an end, now to ${url.pathname}`)
  } finally {
    forget()
  }
}

/** The pages of oidc-provider between the request and the response. */
function isOwnPage (next: URL, { origin }: URL): boolean {
  return next.origin === origin && /\/(?:interaction|auth)\/[\w-]{21,}$/.test(next.pathname)
}

function refused (status: number, page: string): InvalidOptionsError {
  const said = /<pre>([^<]*)/.exec(page)?.[1]?.trim() ?? 'a page that is no error of OAuth'
  return new InvalidOptionsError(`the test provider did not take the authorization request: ${status} ${said}`)
}
