import { readFileSync } from 'node:fs'
import type { ProviderOptions } from '../index.ts'
import { withoutWellKnown } from '../oauth/urls.ts'
import { nearestName } from '../providers/presets/unknown-option.ts'
import { UsageError } from './usage-error.ts'

/** What is examined: the provider of an issuer, or a preset. */
export interface Subject {
  /** The preset's name, or undefined for an issuer. */
  preset?: string
  /** The provider's name in the app. */
  name: string
  title: string
  issuer?: string
  /** Options of its own that were given, as they are written. */
  given: Record<string, unknown>
  /** What the plugin would be registered with. */
  options: ProviderOptions
}

/** Who the app is, as far as it is known. */
interface Named {
  name?: string | undefined
  clientId?: string | undefined
  clientSecret?: string | undefined
}

/** They stand for what a look from outside does not need. */
const CLIENT_ID = 'the-client-id'
const CLIENT_SECRET = 'the-client-secret'

/**
 * Finds out who is meant.
 * @param target an issuer's URL, the address of its metadata, or a preset's name
 * @param written `name=value` of options
 * @throws UsageError
 */
export async function subjectOf (
  target: string, written: readonly string[], { name, clientId, clientSecret }: Named
): Promise<Subject> {
  const given = givenOptions(written)
  const secret = clientSecret ?? (clientId === undefined && !isKeyed(given) ? CLIENT_SECRET : undefined)
  const client = { clientId: clientId ?? CLIENT_ID, ...(secret !== undefined && { clientSecret: secret }) }
  if (/^https?:\/\//i.test(target)) {
    if (!URL.canParse(target)) throw new UsageError(`"${target}" is no URL`)
    const issuer = withoutWellKnown(target)
    return { name: name ?? 'acme', title: issuer, issuer, given, options: { issuer, ...client, ...given } }
  }
  const presets = await import('../providers.ts') as Record<string, unknown>
  const names = Object.keys(presets)
  if (!names.includes(target)) throw new UsageError(unknown(target, names))
  try {
    const make = presets[target] as (options: object) => ProviderOptions
    const options = make({ ...client, ...given })
    const { title = target, issuer } = options
    return { preset: target, name: name ?? target, title, given, options, ...(issuer !== undefined && { issuer }) }
  } catch (error) {
    const { message } = error as Error
    const [needs, option] = /^.* needs `(\w+)`/.exec(message) ?? []
    throw new UsageError(needs === undefined ? message : `${needs}; give it with --option ${option}=…`)
  }
}

/** Whether the client is known by a key, and has no secret. */
export function isKeyed (given: Subject['given']): boolean {
  return given.clientKeys !== undefined || given.privateKey !== undefined
}

function unknown (target: string, names: string[]): string {
  if (target.includes('.') || target.includes('/')) {
    return `"${target}" is no preset; is it an issuer? Write it with https://: https://${target.replace(/^\/+/, '')}`
  }
  const near = nearestName(target, names)
  const meant = near === undefined ? '' : `; did you mean ${near}?`
  return `there is no preset "${target}"${meant}\nPresets: ${names.sort().join(', ')}`
}

/** `true` and `false` become booleans; `@file` reads a file, for keys, which do not belong on a command line. */
function givenOptions (written: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(written.map(option => {
    const [, name, value] = /^([A-Za-z]\w*)=(.*)$/s.exec(option) ?? []
    if (name === undefined || value === undefined) throw new UsageError(`--option ${option}: write it as name=value`)
    if (/secret|password/i.test(name)) {
      const why = 'a secret does not belong on a command line, which others on this machine can read (ps)'
      throw new UsageError(`--option ${name}: ${why}. Set the variable CLIENT_SECRET`)
    }
    if (value.startsWith('@')) return [name, contentOf(name, value.slice(1))]
    return [name, value === 'true' ? true : value === 'false' ? false : value]
  }))
}

function contentOf (name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(`--option ${name}=@${file}: the file cannot be read (${code})`)
  }
}
