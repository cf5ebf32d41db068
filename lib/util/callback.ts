/** What a function that takes a callback calls back with. Some stores report what they do not have as `ENOENT`. */
export function fromCallback<T> (
  call: (done: (error?: unknown, value?: T) => void) => unknown
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const returned = call((error, value) => {
      if (error === undefined || error === null || (error as { code?: string }).code === 'ENOENT') resolve(value)
      else reject(error)
    })
    // An async function may call back when it succeeds, but only reject when it fails.
    if (returned instanceof Promise) returned.catch(reject)
  })
}
