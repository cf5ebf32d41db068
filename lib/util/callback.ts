/** What a function that takes a callback calls back with. */
export function fromCallback<T> (call: (done: (error?: unknown, value?: T) => void) => void): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (error === undefined || error === null) resolve(value)
      else reject(error)
    })
  })
}
