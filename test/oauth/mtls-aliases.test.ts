import t from 'tap'
import { mtlsAliases } from '../../lib/oauth/mtls-aliases.ts'

const issuer = 'https://id.example'
const aliasesOf = (aliases: unknown, of = issuer) =>
  mtlsAliases('acme', { issuer: of, mtls_endpoint_aliases: aliases as never })

t.test('endpoints that the client calls, on any public host', async (t) => {
  t.strictSame(aliasesOf({
    token_endpoint: 'https://mtls.id.example/token',
    userinfo_endpoint: 'https://mtls.other.example:8443/me',
    // A browser goes there, and the key set is for everybody.
    authorization_endpoint: 'https://mtls.id.example/authorize',
    jwks_uri: 'https://mtls.id.example/jwks',
    registration_endpoint: 'https://mtls.id.example/register'
  }), { token_endpoint: 'https://mtls.id.example/token', userinfo_endpoint: 'https://mtls.other.example:8443/me' })
})

t.test('metadata without usable aliases has none', async (t) => {
  const prototype = JSON.parse('{"__proto__":{"token_endpoint":"https://evil.example/token"}}') as object
  const unusable = [undefined, null, 'text', 5, [], {}, { token_endpoint: 5 }, { token_endpoint: null }, prototype]
  for (const aliases of unusable) {
    t.strictSame(aliasesOf(aliases), {})
  }
})

t.test('an alias over plain http is refused: no certificate is shown there', async (t) => {
  const http = { code: 'FST_OAUTH_INSECURE_TRANSPORT', message: /token_endpoint that is not https/ }
  for (const alias of ['http://mtls.id.example/token', 'http://127.0.0.1/token', 'ftp://id.example/', 'javascript:1']) {
    t.throws(() => aliasesOf({ token_endpoint: alias }), http, alias)
  }
  const local = 'http://127.0.0.1:1234/token'
  t.strictSame(aliasesOf({ token_endpoint: local }, 'http://127.0.0.1:3000'), { token_endpoint: local })
})

t.test('an alias that leads from the Internet into a private network or onto this machine is refused', async (t) => {
  const inside = [
    'localhost', '127.0.0.1', '[::1]', '10.0.0.1', '169.254.169.254', '192.168.1.1', 'intranet', 'as.internal',
    '[::ffff:10.0.0.1]', '2130706433'
  ]
  for (const host of inside) {
    t.throws(() => aliasesOf({ token_endpoint: `https://${host}/token` }), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      reason: 'invalid_metadata',
      message: /leads from https:\/\/id\.example to https:\/\/.*in a private network or on this machine/
    }, host)
  }
  const token = 'https://10.0.0.2/token'
  t.strictSame(aliasesOf({ token_endpoint: token }, 'https://10.0.0.1'), { token_endpoint: token })
})

t.test('an alias that is no URL, or holds credentials, is refused', async (t) => {
  t.throws(() => aliasesOf({ token_endpoint: 'mtls.id.example' }), { reason: 'invalid_metadata', message: /is no URL/ })
  const withSecret = 'https://user:secret@mtls.id.example/'
  t.throws(() => aliasesOf({ token_endpoint: withSecret }), { message: /^(?!.*secret).*holds credentials/ })
})
