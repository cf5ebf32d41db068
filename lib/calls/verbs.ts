import type { CallOptions } from './authorized-client.ts'
import type { OAuthCall } from './call.ts'

type VerbOptions = Omit<CallOptions, 'method'>

export const kCall = Symbol('fastify-oauth-session.call')

/** The calls that every authorized client has: relative to the first resource server, or absolute below any of them. */
export abstract class HttpVerbs {
  abstract [kCall] (method: string | undefined, url: string | URL, options: CallOptions | undefined): OAuthCall

  /** Sends a GET. */
  get (url: string | URL, options?: VerbOptions): OAuthCall { return this[kCall]('GET', url, options) }
  /** Sends a POST. */
  post (url: string | URL, options?: VerbOptions): OAuthCall { return this[kCall]('POST', url, options) }
  /** Sends a PUT. */
  put (url: string | URL, options?: VerbOptions): OAuthCall { return this[kCall]('PUT', url, options) }
  /** Sends a PATCH. */
  patch (url: string | URL, options?: VerbOptions): OAuthCall { return this[kCall]('PATCH', url, options) }
  /** Sends a DELETE. */
  delete (url: string | URL, options?: VerbOptions): OAuthCall { return this[kCall]('DELETE', url, options) }
  /** Sends a HEAD. */
  head (url: string | URL, options?: VerbOptions): OAuthCall { return this[kCall]('HEAD', url, options) }

  /**
   * Sends a call: awaited, it is undici's `ResponseData`; `.json()`, `.text()` and `.bytes()` read it whole. Rejects
   * with FST_OAUTH_LOGIN_REQUIRED, FST_OAUTH_LOGIN_ENDED, FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_PROVIDER_UNAVAILABLE,
   * FST_OAUTH_STORE_UNAVAILABLE, FST_OAUTH_ORIGIN_NOT_ALLOWED, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_API_UNAVAILABLE;
   * never for a status.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`; `method` is GET where absent
   */
  request (url: string | URL, options?: CallOptions): OAuthCall { return this[kCall](undefined, url, options) }
}
