import { parseArgs } from 'node:util'
import { UsageError } from './usage-error.ts'

/** What the command line asks for. */
export interface Arguments {
  help: boolean
  version: boolean
  json: boolean
  login: boolean
  /** An issuer's URL or a preset's name; undefined with `help` and `version` alone. */
  target?: string
  clientId?: string
  scope?: string
  name?: string
  baseUrl: string
  host: string
  port: number
  /** Seconds that a login may take. */
  timeout: number
  options: string[]
}

export const HELP = `Usage: fastify-oauth-session doctor ISSUER_OR_PRESET [options]

Says what an OpenID Connect or OAuth 2 provider offers and what is odd about it, and prints the options to paste and
the redirect URI to register. ISSUER_OR_PRESET is an issuer's URL (https://id.example.com) or a preset (github, …).

  --json               only JSON on standard output
  --name NAME          the provider's name in your app; default the preset's, or acme
  --base-url URL       your app's public URL; default https://app.example.com
  --option NAME=VALUE  an option of the preset or the provider; may be repeated. @FILE reads a file

  --login              proves a login, a refresh and a logout: opens a local server and prints the URL to open
  --client-id ID       needed for --login
  --scope "A B"        what the login asks for
  --host HOST          name of this machine in the redirect URI; default localhost, or 127.0.0.1
  --port PORT          default 3000
  --timeout SECONDS    how long a login may take; default 300

  --help, --version

The client's secret is read from the variable CLIENT_SECRET. It is no option: others on this machine can read those
(ps).

Exit codes: 0 all is well, 1 problems were found, 2 the command is not understood.`

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
  json: { type: 'boolean' },
  login: { type: 'boolean' },
  'client-id': { type: 'string' },
  'client-secret': { type: 'string' },
  scope: { type: 'string' },
  name: { type: 'string' },
  'base-url': { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  timeout: { type: 'string' },
  option: { type: 'string', multiple: true }
} as const

/**
 * Reads the command line.
 * @param written what stands after the program's name
 * @throws UsageError
 */
export function readArguments (written: readonly string[]): Arguments {
  const { values, positionals } = parsed(written)
  const { help = false, version = false, json = false, login = false, option = [] } = values
  const [command, target, ...more] = positionals
  if (!help && !version) {
    if (command !== 'doctor') {
      const problem = command === undefined ? 'the command is missing' : `there is no command "${command}"`
      throw new UsageError(`${problem}; write fastify-oauth-session doctor ISSUER_OR_PRESET`)
    }
    if (target === undefined) throw new UsageError('the issuer or the preset is missing; write doctor ISSUER_OR_PRESET')
    if (more.length > 0) throw new UsageError(`"${more[0]}" is one word too many`)
  }
  if (values['client-secret'] !== undefined) {
    throw new UsageError('the secret is no option, since others on this machine can read those (ps): ' +
      'set the variable CLIENT_SECRET')
  }
  const { 'client-id': clientId, scope, name, 'base-url': baseUrl = 'https://app.example.com' } = values
  if (login && clientId === undefined) throw new UsageError('--login needs --client-id')
  if (!/^https?:\/\//.test(baseUrl) || !URL.canParse(baseUrl)) throw new UsageError('--base-url is no URL')
  if (name !== undefined && !/^[\w-]+$/.test(name)) {
    throw new UsageError('--name has letters, digits, "-" and "_" alone')
  }
  const { host = 'localhost' } = values
  if (host !== 'localhost' && host !== '127.0.0.1') throw new UsageError('--host is localhost or 127.0.0.1')
  return {
    help,
    version,
    json,
    login,
    baseUrl: baseUrl.replace(/\/+$/, ''),
    host,
    port: wholeNumber('port', values.port ?? '3000', 0, 65_535),
    timeout: wholeNumber('timeout', values.timeout ?? '300', 1, 86_400),
    options: option,
    ...(target !== undefined && { target }),
    ...(clientId !== undefined && { clientId }),
    ...(scope !== undefined && { scope }),
    ...(name !== undefined && { name })
  }
}

function parsed (args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function wholeNumber (name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new UsageError(`--${name} is a whole number from ${min} to ${max}`)
}
