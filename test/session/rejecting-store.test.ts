import t from 'tap'
import { asJson, codeOf, loginApp } from '../helpers/login-app.ts'
import { JsonStore, type StoreMethod } from '../helpers/stores.ts'

// A session store of async functions, which call back where they succeed and reject where they fail.

class RejectingStore extends JsonStore {
  readonly rejects = new Set<StoreMethod>()

  override async get (...args: Parameters<JsonStore['get']>): Promise<void> {
    await this.#reject('get')
    super.get(...args)
  }

  override async set (...args: Parameters<JsonStore['set']>): Promise<void> {
    await this.#reject('set')
    super.set(...args)
  }

  override async destroy (...args: Parameters<JsonStore['destroy']>): Promise<void> {
    await this.#reject('destroy')
    super.destroy(...args)
  }

  async #reject (method: StoreMethod): Promise<void> {
    if (this.rejects.has(method)) throw new Error('connect ECONNREFUSED 10.1.2.3:6379')
  }
}

for (const method of ['get', 'set', 'destroy'] as const) {
  t.test(`a session store whose ${method}() rejects: 503, and no unhandled rejection`, async t => {
    const unhandled: unknown[] = []
    const note = (reason: unknown) => { unhandled.push(reason) }
    process.on('unhandledRejection', note)
    t.after(() => process.off('unhandledRejection', note))
    const store = new RejectingStore()
    const { browser, url, userOf } = await loginApp(t, { session: { store: store as never } })
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
    store.rejects.add(method)
    const page = await browser.post(`${url}/logout`, asJson)
    t.equal(page.status, 503)
    t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
    t.notMatch(page.text, '10.1.2.3')
    store.rejects.clear()
    await browser.post(`${url}/logout`, asJson)
    t.equal(await userOf(browser), null)
    t.strictSame(unhandled, [])
  })
}
