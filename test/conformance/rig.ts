import { createPublicKey } from 'node:crypto'
import type { OAuthSession, OAuthSessionInit } from '../../lib/standalone/session.ts'
import {
  createProvider,
  type StandaloneOptions,
  type StandaloneProvider,
  type ProviderOptions,
  type TokenSet
} from '../../lib/index.ts'
import type { TokensEvent } from '../../lib/tokens/on-tokens.ts'
import type { Members } from './case.ts'
import type { Observation } from './observation.ts'
import { signingKey } from './client-authentication.ts'
import { providerOptions, sessionInit } from './settings.ts'
import { serve, Wire, type Server, type WireAnswer, type WireRequest } from './wire.ts'

const JSON_TYPE = 'application/json'
const TOKENS = { status: 200, content_type: JSON_TYPE, body: '{"access_token": "at1", "token_type": "Bearer"}' }

/** What the token updater got, and what had gone out by the time it was done. */
export interface Saved {
  readonly tokens: TokenSet
  readonly event: TokensEvent
  /** Requests that had gone out when it was called, and when it was done: the same where it is awaited. */
  readonly sent: { before: number, after: number }
}

export interface RigOptions {
  given: Members
  /** Provider options that the operation needs and the case leaves out. */
  options?: Partial<ProviderOptions>
  session?: OAuthSessionInit
  servers?: Server[]
  clock?: StandaloneOptions['clock']
}

/** A provider without Fastify, its network and its clock, as one case describes them. */
export class Rig {
  readonly options: ProviderOptions
  readonly wire: Wire
  readonly provider: StandaloneProvider
  readonly saved: Saved[] = []
  readonly #settings: RigOptions

  constructor (settings: RigOptions) {
    const { given, options = {}, servers = [], clock } = settings
    this.#settings = settings
    this.options = providerOptions(given, options)
    this.wire = new Wire(...servers, ...this.#servers(given))
    const now = given.now === undefined ? {} : { now: () => given.now as number }
    this.provider = createProvider(this.options, { name: 'acme', dispatcher: this.wire, clock: { ...now, ...clock } })
  }

  #servers (given: Members): Server[] {
    const { issuer } = this.options
    const answers = [given.token_response ?? TOKENS].flat().map(answerOf)
    const tokens: Server = request =>
      isTokenRequest(request) ? (answers.length > 1 ? answers.shift() : answers[0]) : undefined
    if (issuer === undefined) return [tokens]
    return [
      serve(
        given.discovery_url ?? `${withoutSlash(issuer)}/.well-known/openid-configuration`,
        json(given.discovery ?? metadata(issuer))
      ),
      tokens
    ]
  }

  /** What any operation can tell of its network, its updater and its client. */
  get observed (): Pick<Observation, 'wire' | 'saved' | 'publicClientId' | 'clientSecret' | 'publicKey'> {
    const { clientId, clientSecret } = this.options
    return {
      wire: this.wire.requests,
      saved: this.saved,
      publicClientId: clientSecret === undefined ? clientId : undefined,
      clientSecret,
      publicKey: () => createPublicKey(signingKey(this.#settings.given))
    }
  }

  /** A session as the case wants it; what its token updater gets is kept. */
  session (more: OAuthSessionInit = {}): OAuthSession {
    const { given, session } = this.#settings
    const onTokens = async (tokens: TokenSet, event: TokensEvent) => {
      const before = this.wire.requests.length
      await new Promise(resolve => setTimeout(resolve, 1))
      this.saved.push({ tokens, event, sent: { before, after: this.wire.requests.length } })
    }
    return this.provider.session({ onTokens, ...sessionInit(given), ...session, ...more })
  }
}

// Wherever it goes: some providers have an address of its own for refreshes.
const isTokenRequest = ({ url, body }: WireRequest) =>
  new URL(url).searchParams.has('grant_type') || new URLSearchParams(body).has('grant_type')

const withoutSlash = (url: string) => url.replace(/\/$/, '')

function metadata (issuer: string): Members {
  const base = withoutSlash(issuer)
  return {
    issuer,
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/token`,
    jwks_uri: `${base}/jwks`
  }
}

/** An answer as the cases write it. */
export function answerOf ({ status, content_type: type, headers, body }: Members): WireAnswer {
  return {
    status,
    body: typeof body === 'object' && body !== null ? JSON.stringify(body) : (body ?? undefined),
    headers: { ...(type !== undefined && { 'content-type': type }), ...headers }
  }
}

/** A JSON answer. */
export function json (value: unknown, status = 200): WireAnswer {
  return { status, headers: { 'content-type': JSON_TYPE }, body: JSON.stringify(value) }
}
