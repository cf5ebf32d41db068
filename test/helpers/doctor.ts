import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { environment, installPackage } from '../types/installed-package.ts'

/** A doctor that has come to its end. */
export interface DoctorResult {
  code: number | null
  stdout: string
  stderr: string
  /** The standard output, which is JSON. */
  json: () => any
}

/** A doctor at work. */
export interface Doctor {
  /** Standard output and standard error, as far as they have come. */
  said: () => string
  /** The first match in what it says. */
  heard: (pattern: RegExp) => Promise<RegExpExecArray>
  ended: Promise<DoctorResult>
}

/** The command of the installed package, as a user has it. */
export class DoctorCommand {
  readonly #cli: string

  constructor (folder: string) {
    this.#cli = join(folder, 'node_modules/fastify-oauth-session/dist/cli.js')
  }

  /** @param env beside the environment, which has no CLIENT_SECRET of its own */
  start (t: Pick<Test, 'after'>, args: readonly string[], env: Record<string, string> = {}): Doctor {
    const { CLIENT_SECRET: _none, ...outer } = environment()
    const child = spawn(process.execPath, [this.#cli, ...args], {
      env: { ...outer, ...env }, stdio: ['ignore', 'pipe', 'pipe']
    })
    t.after(() => { child.kill() })
    const streams = [child.stdout, child.stderr]
    let said = ''
    for (const stream of streams) stream.on('data', (chunk: Buffer) => { said += String(chunk) })
    const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
      .then(([stdout, stderr, [code]]) => ({ code, stdout, stderr, json: () => JSON.parse(stdout) }))
    const heard = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (;;) {
        const match = pattern.exec(said)
        if (match !== null) return match
        const more = streams.map(async stream => { await once(stream, 'data') })
        const isOver = await Promise.race([ended.then(() => true), ...more.map(one => one.then(() => false))])
        if (isOver && !pattern.test(said)) throw new Error(`the doctor did not say ${String(pattern)}: ${said}`)
      }
    }
    return { said: () => said, heard, ended }
  }

  /** Runs it to its end. */
  async run (
    t: Pick<Test, 'after'>, args: readonly string[], env?: Record<string, string>
  ): Promise<DoctorResult> {
    return await this.start(t, args, env).ended
  }
}

/** Installs the package, and gives its command. */
export async function installDoctor (t: Pick<Test, 'after'>): Promise<DoctorCommand> {
  return new DoctorCommand(await installPackage(t))
}
