/** Requests and responses over the IPC channel of a child process. */
import type { ChildProcess } from 'node:child_process'

type Method = (params: never) => unknown

interface RpcRequest { id: number, method: string, params: unknown }
interface RpcResponse { id: number, result?: unknown, error?: string }

/** In a child: answers the parent's requests, and says that it is ready. */
export function serve (methods: Record<string, Method>): void {
  const answer = async ({ id, method, params }: RpcRequest): Promise<RpcResponse> => {
    try {
      return { id, result: await methods[method]!(params as never) }
    } catch (error) {
      return { id, error: error instanceof Error ? error.stack ?? error.message : String(error) }
    }
  }
  process.on('message', (request: RpcRequest) => {
    void answer(request).then(response => process.send!(response))
  })
  process.on('disconnect', () => process.exit())
  process.send!({ id: 0 } satisfies RpcResponse)
}

/** In the parent: a child that answers requests. */
export class Peer {
  readonly process: ChildProcess
  readonly ready: Promise<unknown>
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void, reject: (error: Error) => void }>()
  #lastId = 0

  constructor (child: ChildProcess, name: string) {
    this.process = child
    this.ready = new Promise((resolve, reject) => this.#waiting.set(0, { resolve, reject }))
    // `ready` may not be awaited yet when the child ends.
    this.ready.catch(() => {})
    child.on('message', ({ id, result, error }: RpcResponse) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) waiting?.resolve(result)
      else waiting?.reject(new Error(`${name}: ${error}`))
    })
    child.on('exit', (code, signal) => this.#fail(new Error(`${name} ended with ${signal ?? code}`)))
    // A request to a process that is just ending.
    child.on('error', error => this.#fail(error))
  }

  #fail (error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }

  async call<Result = void> (method: string, params: unknown = {}): Promise<Result> {
    if (!this.process.connected) throw new Error('the process has ended')
    const id = ++this.#lastId
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(id, { resolve: result => resolve(result as Result), reject })
      this.process.send({ id, method, params })
    })
  }
}
