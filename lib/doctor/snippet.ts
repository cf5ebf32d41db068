import { strings } from './documents.ts'
import type { Metadata } from './metadata.ts'
import { isKeyed, type Subject } from './subject.ts'

const WANTED = ['openid', 'profile', 'email', 'offline_access']

/** The scope that a login at a provider asks for, of those that it has. */
export function usualScope (metadata: Metadata): string[] {
  const supported = strings(metadata.scopes_supported)
  if (supported.length === 0) return ['openid', 'profile', 'email']
  return WANTED.filter(scope => scope === 'openid' || supported.includes(scope))
}

/**
 * The options to paste, which JavaScript and TypeScript take.
 * @param metadata that of the issuer, if there is one
 */
export function snippetOf (subject: Subject, baseUrl: string, metadata: Metadata | undefined): string {
  const { preset, name } = subject
  const lines = preset === undefined ? providerLines(subject, metadata ?? {}) : presetLines(subject)
  const key = /^[A-Za-z]\w*$/.test(name) ? name : `'${name}'`
  return [
    "import oauth from 'fastify-oauth-session'",
    ...(preset === undefined ? [] : [`import { ${preset} } from 'fastify-oauth-session/providers'`]),
    '',
    'await app.register(oauth, {',
    `  baseUrl: '${baseUrl}',`,
    '  providers: {',
    `    ${key}: ${preset === undefined ? '{' : `${preset}({`}`,
    ...lines.map(line => `      ${line}`),
    `    }${preset === undefined ? '' : ')'}`,
    '  }',
    '})'
  ].join('\n')
}

const variable = (name: string) => name.toUpperCase().replaceAll(/\W/g, '_')

function credentials ({ name, given }: Subject): string[] {
  const prefix = variable(name)
  const id = `clientId: process.env.${prefix}_CLIENT_ID ?? '',`
  return isKeyed(given) ? [id] : [id, `clientSecret: process.env.${prefix}_CLIENT_SECRET ?? '',`]
}

/** Values that came from a file are keys: their place is a variable. */
function written ({ name, given }: Subject): string[] {
  return Object.entries(given).map(([option, value]) => typeof value === 'string' && value.includes('\n')
    ? `${option}: process.env.${variable(name)}_${option.replaceAll(/([A-Z])/g, '_$1').toUpperCase()} ?? '',`
    : `${option}: ${typeof value === 'string' ? `'${value.replaceAll("'", "\\'")}'` : String(value)},`)
}

const withoutLastComma = (lines: string[]) => lines.map((line, index) =>
  index === lines.length - 1 ? line.replace(/,$/, '') : line)

function presetLines (subject: Subject): string[] {
  return withoutLastComma([...credentials(subject), ...written(subject)])
}

function providerLines (subject: Subject, metadata: Metadata): string[] {
  const methods = strings(metadata.code_challenge_methods_supported)
  const plain = methods.includes('plain') && !methods.includes('S256')
  const issuer = typeof metadata.issuer === 'string' ? metadata.issuer : subject.issuer!
  const { scope: _given, ...further } = subject.given
  const scope = typeof _given === 'string' ? _given.split(' ') : usualScope(metadata)
  return [
    `issuer: '${issuer.replaceAll("'", '%27')}',`,
    ...credentials(subject),
    `scope: [${scope.map(name => `'${name}'`).join(', ')}],`,
    ...(plain ? ["pkce: 'plain',"] : []),
    ...written({ ...subject, given: further }),
    ...(metadata.dpop_signing_alg_values_supported === undefined
      ? []
      : ['// dpop: true, // each token is bound to a key of its login']),
    "resourceServers: ['https://api.example.com/'] // your API: where the token may go"
  ]
}
