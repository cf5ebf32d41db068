import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { loginApp } from '../helpers/login-app.ts'
import type { StoredRecord, TokenStore } from '../../lib/index.ts'

// The smallest store that an app may write: JSON in a Map, without promises, null for what is not there, and no word
// about what was written.

const DELETED = 'deleted'

function mapStore (records: Map<string, string>): TokenStore {
  const parse = (json = 'null') => json === DELETED ? null : JSON.parse(json) as StoredRecord | null
  const get = (id: string) => parse(records.get(id))
  const store = {
    get,
    set (id: string, record: StoredRecord, { expectedVersion }: { expectedVersion?: number }): false | undefined {
      if (records.get(id) === DELETED) return false
      if (expectedVersion !== undefined && (get(id)?.version ?? 0) !== expectedVersion) return false
      records.set(id, JSON.stringify(record))
    },
    consume (id: string) {
      const record = get(id)
      records.delete(id)
      return record
    },
    touch () {},
    delete (id: string) { records.set(id, DELETED) }
  }
  return store as unknown as TokenStore
}

t.test('a token store of the app\'s own: login, refresh, logout, and the end of all sessions', async (t) => {
  const records = new Map<string, string>()
  const { url, app, browser, orders, page } = await loggedInApp(t, { oauth: { tokenStore: mapStore(records) } })
  const other = new Browser()
  await other.login(`${url}/login/acme`)
  t.equal((await orders()).status, 200)
  t.equal((await page(async oauth => { await oauth.refresh() })).status, 200)
  t.equal((await orders()).status, 200)
  await browser.logout(`${url}/logout`)
  t.equal((await orders()).status, 401)
  t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 1)
  t.equal((await other.get(`${url}/orders`)).status, 401)
  t.notMatch([...records.values()].join(), 'accessToken')
})

t.test('a token store that throws, rather than rejecting, is a store that is unavailable', async (t) => {
  const broken = {
    ...mapStore(new Map()),
    set () {
      throw new Error('no')
    }
  }
  const { url } = await loginApp(t, { oauth: { tokenStore: broken as unknown as TokenStore } })
  const page = await new Browser().get(`${url}/login/acme`, { headers: { accept: 'application/json' } })
  t.match(page.json(), { statusCode: 503, code: 'FST_OAUTH_STORE_UNAVAILABLE' })
})
