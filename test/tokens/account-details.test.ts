import t from 'tap'
import { detailsOf, withoutTokenClaims, writeDetails } from '../../lib/tokens/account-details.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'

const claims = { iss: 'https://id.example', sub: 'alice', name: 'Alice', email: 'alice@example.com' }
const user = { id: 'alice', name: 'Alice', email: 'alice@example.com', raw: claims }
const login = { scope: ['openid'], loginAt: 1000 }

t.test('what is known of a user stands in the session once, and nothing that is about the ID token alone', (t) => {
  const ofTheToken = { aud: 'client', exp: 2000, iat: 1000, nonce: 'n', at_hash: 'h', jti: 'j', azp: 'client' }
  const all = { ...claims, ...ofTheToken, auth_time: 900, acr: '2', sid: 'of the provider' }
  const details = writeDetails(withoutTokenClaims({ user: { ...user, raw: all }, claims: all }), login)
  t.equal(details.split('alice@example.com').length, 2)
  t.strictSame(detailsOf({ details }).claims, { ...claims, auth_time: 900, acr: '2', sid: 'of the provider' })
  t.end()
})

t.test('a profile of ID token and userinfo keeps nothing that is about the ID token alone', (t) => {
  const fromToken = { ...claims, nonce: 'n', exp: 2000 }
  const raw = { ...fromToken, plan: 'gold', jti: 'of the profile' }
  const kept = withoutTokenClaims({ user: { ...user, raw }, claims: fromToken })
  t.strictSame(kept.user!.raw, { ...claims, plan: 'gold', jti: 'of the profile' })
  t.end()
})

const users = {
  'of the standard claims': user,
  'of its own `userProfile`': { id: '7', name: 'A. Adams', plan: 'gold', raw: claims },
  'whose raw profile is not the claims': { ...user, raw: { id: 7 } },
  'without an ID of its own': null
}
for (const [name, user] of Object.entries(users)) {
  t.test(`a user ${name} is read as it was written`, (t) => {
    const details = writeDetails({ user, claims }, login)
    t.strictSame(detailsOf({ details }), { ...login, user, claims })
    t.end()
  })
}

for (const details of ['', 'null', '[]', '{"claims":{},"scope":"openid"}', '{"claims":{},"scope":[],"callbacks":1}']) {
  t.test(`details that cannot be read name no user: ${details}`, (t) => {
    t.strictSame(detailsOf({ details }), { user: null, claims: {}, scope: [], loginAt: 0 })
    t.end()
  })
}

t.test('what a handler changes in `claims` or `user` does not reach the session', async (t) => {
  const { run } = await loggedInApp(t)
  const name = await run((oauth) => {
    oauth.claims.sub = 'mallory'
    oauth.user!.id = 'mallory'
    return oauth.user!.id
  })
  t.equal(name, 'mallory', 'within the request it is its own')
  t.strictSame(await run(oauth => [oauth.user!.id, oauth.claims.sub]), ['alice', 'alice'])
})
