import type { Dispatcher } from 'undici'

/** The least code between a handler and undici that gives a JSON value: no limits, no decompression, no media type. */
export async function getJson (dispatcher: Dispatcher, path: string, authorization: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let status = 0
    dispatcher.dispatch({ path, method: 'GET', headers: ['authorization', authorization] }, {
      onRequestStart () {},
      onResponseStart (_controller, statusCode) { status = statusCode },
      onResponseData (_controller, chunk) { chunks.push(chunk) },
      onResponseEnd () {
        if (status !== 200) return reject(new Error(`the API answered ${status}`))
        const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
        try {
          resolve(JSON.parse(body.toString()))
        } catch (error) {
          reject(error)
        }
      },
      onResponseError (_controller, error) { reject(error) }
    })
  })
}
