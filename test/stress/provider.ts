import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { privateJwks } from '../../lib/testing/signing-keys.ts'
import { Authority, type TokenAnswer } from './authority.ts'
import type { Presentation, ProviderJournal } from './journal.ts'
import { Proofs, type Proven } from './proofs.ts'
import { drawFault, losesAnswer, type DrawnFault } from './provider-faults.ts'

export interface ProviderProcessOptions {
  /** What its faults and the lives of its tokens depend on. */
  seed: string
  port: number
}

/** What the driver may ask of the provider's process. */
export type ProviderCommand =
  | { ask: 'faults', on: boolean }
  | { ask: 'down' }
  | { ask: 'up' }
  | { ask: 'journal' }
  | { ask: 'logoutToken', subject: string, code?: string | undefined }
/** What the provider tells the driver while it happens. */
export interface TokenRequestSeen {
  seen: 'arrived' | 'answered'
  worker: string
}

/**
 * A provider and the API that takes its tokens, in a process of their own. Only loopback, one user agent: logs in the
 * user that the request names.
 */
class Provider {
  readonly server = createServer((request, response) => {
    this.#handle(request, response).catch(() => response.destroy())
  })

  readonly #seed: string
  #authority!: Authority
  #issuer = ''
  readonly #port: number
  #faults = false
  #apiCalls = 0
  #outages = 0
  readonly #attempts = new Map<string, number>()
  readonly #proofs = new Proofs()
  readonly #open = new Set<ServerResponse>()

  constructor ({ seed, port }: ProviderProcessOptions) {
    this.#seed = seed
    this.#port = port
  }

  async start (): Promise<string> {
    await this.#listen()
    this.#issuer = `http://127.0.0.1:${this.#port}`
    this.#authority = new Authority(this.#issuer, this.#seed)
    return this.#issuer
  }

  async command (command: ProviderCommand): Promise<unknown> {
    if (command.ask === 'faults') this.#faults = command.on
    if (command.ask === 'up') await this.#listen()
    if (command.ask === 'down') await this.#goDown()
    if (command.ask === 'logoutToken') return await this.#authority.logoutToken(command.subject, command.code)
    return command.ask === 'journal' ? this.#journal() : undefined
  }

  async #listen (): Promise<void> {
    this.server.listen(this.#port, '127.0.0.1')
    await once(this.server, 'listening')
  }

  /**
   * As if its process died and its database did not: what is under way is cut, nothing that was issued is forgotten.
   */
  async #goDown (): Promise<void> {
    this.#outages++
    const closed = new Promise(resolve => this.server.close(resolve))
    for (const response of this.#open) response.destroy()
    // Answers that are out already are left to arrive.
    this.server.closeIdleConnections()
    await closed
  }

  #journal (): ProviderJournal {
    const families = [...this.#authority.families.values()].map(
      ({ name, subject, code, clientId, createdAt, revokedAt, revokedBy, jkt, presentations }) => ({
        name,
        subject,
        code,
        clientId,
        createdAt,
        ...(revokedAt !== undefined && { revokedAt }),
        ...(revokedBy !== undefined && { revokedBy }),
        ...(jkt !== undefined && { jkt }),
        presentations
      })
    )
    return {
      families,
      codesReused: this.#authority.codesReused,
      unknownTokens: this.#authority.unknownTokens,
      apiCalls: this.#apiCalls,
      proofs: this.#proofs.taken,
      noncesAsked: this.#proofs.noncesAsked,
      wrongProofs: this.#proofs.wrong
    }
  }

  async #handle (request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#open.add(response)
    response.once('close', () => this.#open.delete(response))
    const url = new URL(request.url ?? '/', this.#issuer)
    const form = new URLSearchParams(request.method === 'POST' ? await text(request) : '')
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json(response, 200, this.#metadata())
      case '/jwks':
        return json(response, 200, {
          keys: privateJwks().keys.map(({ d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...key }) => key)
        })
      case '/authorize':
        return this.#authorize(url.searchParams, response)
      case '/token':
        return await this.#token(request, form, response)
      case '/revoke':
        this.#authority.revoke(form.get('token') ?? '')
        return json(response, 200, {})
      case '/end-session': {
        const back = new URL(url.searchParams.get('post_logout_redirect_uri') ?? this.#issuer)
        back.searchParams.set('state', url.searchParams.get('state') ?? '')
        return redirect(response, back)
      }
      default: return await this.#api(request, url, response)
    }
  }

  #metadata () {
    const at = (path: string) => this.#issuer + path
    return {
      issuer: this.#issuer,
      authorization_endpoint: at('/authorize'),
      token_endpoint: at('/token'),
      jwks_uri: at('/jwks'),
      revocation_endpoint: at('/revoke'),
      end_session_endpoint: at('/end-session'),
      response_types_supported: ['code'],
      id_token_signing_alg_values_supported: ['ES256'],
      authorization_response_iss_parameter_supported: true
    }
  }

  #authorize (query: URLSearchParams, response: ServerResponse): void {
    const back = new URL(query.get('redirect_uri') ?? '')
    back.searchParams.set('code', this.#authority.authorize(query.get('login_as') ?? 'unknown', query))
    back.searchParams.set('state', query.get('state') ?? '')
    back.searchParams.set('iss', this.#issuer)
    redirect(response, back)
  }

  async #token (request: IncomingMessage, form: URLSearchParams, response: ServerResponse): Promise<void> {
    const before = this.#outages
    const proven = await this.#proofs.check(request, `${this.#issuer}/token`)
    // Cut off meanwhile: the token has not been looked at.
    if (this.#outages > before || response.destroyed) return
    response.setHeader('dpop-nonce', this.#proofs.nonce)
    // Before anything is looked at: the code, or the refresh token, has not been used.
    if (isAsked(proven)) return json(response, 400, { error: 'use_dpop_nonce' })
    const jkt = this.#jktOf(proven)
    if (form.get('grant_type') !== 'refresh_token') {
      const fault = this.#fault(`code ${form.get('code')}`)
      await this.#answer(response, fault, async () => await this.#authority.exchange(form, jkt))
      return
    }
    const found = this.#authority.find(form.get('refresh_token') ?? '')
    if (found === undefined) {
      this.#authority.unknownTokens++
      return json(response, 400, { error: 'invalid_grant' })
    }
    const { family, n } = found
    if (family.jkt !== jkt) {
      this.#proofs.wrong.push(`a refresh of ${family.name} with another key than its own`)
      return json(response, 400, { error: 'invalid_dpop_proof' })
    }
    const worker = form.get('worker') ?? ''
    const fault = this.#fault(`${family.name} ${n}`)
    const seen: Presentation = {
      at: Date.now(),
      worker,
      n,
      outcome: 'dropped',
      ...(fault.kind !== undefined && { fault: fault.kind })
    }
    family.presentations.push(seen)
    const outages = this.#outages
    response.once('finish', () => {
      if (seen.cut === undefined) seen.answeredAt = Date.now()
    })
    response.once('close', () => {
      if (seen.answeredAt === undefined) seen.cut ??= this.#outages > outages ? 'outage' : 'client'
    })
    tell({ seen: 'arrived', worker })
    if (fault.kind === 'cut before' || fault.kind === 'cut after' || fault.kind === 'cut midway') seen.cut = 'fault'
    await this.#answer(response, fault, async () => await this.#authority.refresh(family, seen))
    tell({ seen: 'answered', worker })
  }

  /** The key of a proof; undefined where there is none. */
  #jktOf (proven: Proven): string | undefined {
    if (proven === 'none') return undefined
    if ('jkt' in proven) return proven.jkt
    this.#proofs.wrong.push('wrong' in proven ? proven.wrong : proven.asks)
    return 'wrong'
  }

  #fault (request: string): DrawnFault {
    const attempt = (this.#attempts.get(request) ?? 0) + 1
    this.#attempts.set(request, attempt)
    return this.#faults ? drawFault(this.#seed, request, attempt) : { kind: undefined, delayMs: 0 }
  }

  async #answer (
    response: ServerResponse,
    { kind, delayMs }: DrawnFault,
    act: () => Promise<TokenAnswer>
  ): Promise<void> {
    const outages = this.#outages
    if (kind === 'cut before') return cut(response)
    if (kind === 'unavailable') return json(response, 503, { error: 'temporarily_unavailable' })
    if (kind === 'late before') await wait(delayMs)
    // A provider whose process died does not act any more; one whose client has gone does.
    if (this.#outages > outages) return
    const { status, body } = await act()
    if (kind === 'late after' || kind === 'very late') await wait(delayMs)
    if (losesAnswer(kind)) return lose(response, kind, body)
    json(response, status, body)
  }

  async #api (request: IncomingMessage, url: URL, response: ServerResponse): Promise<void> {
    this.#apiCalls++
    const [, scheme, token = ''] = /^(Bearer|DPoP) (\S+)$/.exec(request.headers.authorization ?? '') ?? []
    const proven = await this.#proofs.check(request, this.#issuer + url.pathname, token)
    if (response.destroyed) return
    response.setHeader('dpop-nonce', this.#proofs.nonce)
    if (isAsked(proven)) return challenge(response, 'use_dpop_nonce')
    const family = this.#authority.introspect(token)
    if (family === undefined) return challenge(response, 'invalid_token', scheme)
    const jkt = this.#jktOf(proven)
    if (family.jkt !== jkt || (jkt === undefined) !== (scheme === 'Bearer')) {
      this.#proofs.wrong.push(`a call of ${family.name} as ${scheme} with another key than its own`)
      return challenge(response, 'invalid_dpop_proof')
    }
    await wait(Number(url.searchParams.get('ms') ?? 0))
    json(response, 200, { sub: family.subject, family: family.name, client: family.clientId })
  }
}

function lose (response: ServerResponse, kind: DrawnFault['kind'], body: object): void {
  if (kind === 'gateway') return json(response, 504, { message: 'Gateway Timeout' })
  if (kind === 'cut after') return cut(response)
  const whole = JSON.stringify(body)
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': whole.length })
  response.write(whole.slice(0, whole.length / 2), () => response.destroy())
}

function json (response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body))
}

function challenge (response: ServerResponse, error: string, scheme = 'DPoP'): void {
  response.setHeader('www-authenticate', `${scheme} error="${error}"`)
  json(response, 401, { error })
}

const isAsked = (proven: Proven) => typeof proven === 'object' && 'asks' in proven

function redirect (response: ServerResponse, to: URL): void {
  response.writeHead(302, { location: to.href }).end()
}

function cut (response: ServerResponse): void { response.destroy() }

const wait = (ms: number) => ms === 0 ? Promise.resolve() : new Promise(resolve => setTimeout(resolve, ms))
const tell = (event: TokenRequestSeen) => { process.send?.(event) }

/** The provider's process. */
export async function runProvider (options: ProviderProcessOptions): Promise<void> {
  const provider = new Provider(options)
  process.on('message', ({ id, ...command }: ProviderCommand & { id: number }) => {
    provider.command(command as ProviderCommand).then(
      value => process.send!({ id, value }),
      (error: Error) => process.send!({ id, error: error.message })
    )
  })
  process.send!({ ready: await provider.start() })
}
