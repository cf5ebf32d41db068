/**
 * How an authorization response comes back (OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1; OAuth 2.0
 * Form Post Response Mode; JWT Secured Authorization Response Mode, section 2.3).
 */
export type ResponseMode = 'query' | 'form_post' | 'query.jwt' | 'form_post.jwt' | 'jwt'

export const RESPONSE_MODES: readonly ResponseMode[] = ['query', 'form_post', 'query.jwt', 'form_post.jwt', 'jwt']

/** Whether the response is a JWT. */
export function isSecuredMode (mode: string | undefined): boolean {
  return typeof mode === 'string' && (mode === 'jwt' || mode.endsWith('.jwt'))
}

/** Whether the provider makes the browser post the response: a request of another site, which brings no Lax cookie. */
export function isPostedMode (mode: string | undefined): boolean {
  return mode === 'form_post' || mode === 'form_post.jwt'
}
