// Reads and checks the environment variables that main.ts lists.
import type { StartOptions } from './start.ts'

export const defaultPort = 3000

/** @throws Error whose message is for the terminal */
export function readSettings (env: NodeJS.ProcessEnv): StartOptions {
  const { ISSUER, CLIENT_ID, CLIENT_SECRET, SCOPE, API_URL, BASE_URL, PORT, HOST, SESSION_SECRET } = env
  const settings: StartOptions = { port: readPort(PORT), host: HOST || 'localhost' }

  if (BASE_URL) settings.baseUrl = readUrl('BASE_URL', BASE_URL)
  if (SESSION_SECRET) {
    if (SESSION_SECRET.length < 32) throw new Error('SESSION_SECRET needs at least 32 characters.')
    settings.sessionSecret = SESSION_SECRET
  }
  if (!ISSUER) {
    if (CLIENT_ID || CLIENT_SECRET || API_URL) {
      throw new Error('CLIENT_ID, CLIENT_SECRET and API_URL go with an ISSUER: set ISSUER, too.')
    }
    return settings
  }
  if (!CLIENT_ID) throw new Error('ISSUER needs a CLIENT_ID: the one that the provider has assigned.')
  readUrl('ISSUER', ISSUER)
  settings.external = {
    issuer: ISSUER,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET || undefined,
    scope: (SCOPE || 'openid profile email offline_access').split(/\s+/),
    apiUrl: API_URL && readUrl('API_URL', API_URL).replace(/\/?$/, '/'),
  }
  return settings
}

function readPort (value: string | undefined): number {
  if (!value) return defaultPort
  const port = Number(value)
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new Error(`PORT is "${value}": a number from 0 to 65535 is needed.`)
  }
  return port
}

function readUrl (name: string, value: string): string {
  if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) {
    throw new Error(`${name} is "${value}": an http(s) URL is needed.`)
  }
  return value
}
