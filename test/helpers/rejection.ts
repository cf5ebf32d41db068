/** The error that a promise rejects with; fails the test where it does not. */
export async function rejection<
  E = Error & { code?: string, reason?: string, statusCode?: number, responseStatus?: number, provider?: string }
> (promise: Promise<unknown>): Promise<E> {
  return await promise.then(
    (value) => { throw new Error(`no rejection, but ${String(value)}`) },
    (error: unknown) => error as E
  )
}
