import { hash, X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import type { Context } from '../../lib/testing/oidc-types.ts'
import { clientCertificates, serverTls } from './certificates.ts'
import { listen } from './listen.ts'
import type { ProviderOptions } from './provider-options.ts'
import { startProvider, type TestProvider } from './provider.ts'

export interface MtlsProvider {
  provider: TestProvider
  /** Where clients are asked for a certificate. */
  alias: { origin: string, requests: { url: string, certificate: string | undefined, session: boolean }[] }
}

const ENDPOINTS = {
  token_endpoint: '/token',
  revocation_endpoint: '/token/revocation',
  introspection_endpoint: '/token/introspection',
  userinfo_endpoint: '/me',
  pushed_authorization_request_endpoint: '/request'
}

export const thumbprintOf = (cert: string) => hash('sha256', new X509Certificate(cert).raw, 'base64url')

/** A real oidc-provider over TLS, which asks for certificates at a second origin (RFC 8705, section 5). */
export async function startMtlsProvider (t: Test, options: ProviderOptions = {}): Promise<MtlsProvider> {
  const { server, port, close } =
    await listen(undefined, { ...serverTls, requestCert: true, rejectUnauthorized: false })
  t.after(close)
  const origin = `https://127.0.0.1:${port}`
  const requests: MtlsProvider['alias']['requests'] = []
  const aliases = Object.entries(ENDPOINTS).map(([name, path]) => [name, origin + path])
  const provider = await startProvider(t, {
    tls: serverTls,
    ...options,
    client: { tls_client_auth_subject_dn: 'O=Example,CN=app', ...options.client },
    furtherFeatures: {
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: ({ req }: Context) => certificateOf(req),
        certificateAuthorized: ({ req }: Context) => (req.socket as TLSSocket).authorized,
        certificateSubjectMatches: ({ req }: Context, _property: string, expected: string) =>
          certificateOf(req)?.subject.split('\n').reverse().join(',') === expected
      },
      ...options.furtherFeatures
    },
    configuration: {
      clientAuthMethods: [
        'client_secret_basic', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth', 'none'
      ],
      discovery: { mtls_endpoint_aliases: Object.fromEntries(aliases) },
      ...options.configuration
    }
  })
  server.on('request', (request: IncomingMessage, response) => {
    const certificate = certificateOf(request)
    requests.push({
      url: request.url!,
      certificate: certificate && thumbprintOf(certificate.toString()),
      session: (request.socket as TLSSocket).isSessionReused()
    })
    provider.oidc.callback()(request, response)
  })
  return { provider, alias: { origin, requests } }
}

function certificateOf ({ socket }: IncomingMessage): X509Certificate | undefined {
  return 'getPeerX509Certificate' in socket ? (socket as TLSSocket).getPeerX509Certificate() : undefined
}

/** What an app configures for a provider of `startMtlsProvider`: a client without a secret. */
export function mtlsOptions ({ provider }: MtlsProvider) {
  const { clientSecret: _none, ...options } = provider.providerOptions
  return { ...options, clientCertificate: clientCertificates.app }
}
