import { withCleanup, later } from '../cleanup.ts'
import { asJson } from '../../helpers/login-app.ts'
import type { Observation } from '../observation.ts'
import { observe, type Operation } from '../operation.ts'
import { Browser, loginSite, type LoginSite } from '../login-site.ts'
import { numberIn } from '../sentences.ts'

type Scenario = (site: LoginSite, sentence: string, observed: Observation) => Promise<void>

/** A login in a Fastify app. What the app tells its `onError` is the outcome, and a login where it tells nothing. */
const scenario = (run: Scenario, options: Parameters<typeof loginSite>[1] = {}): Operation => ({
  given: ['flow'],
  run: async ({ given }) => await withCleanup(async cleanup => await observe(async (observed) => {
    const site = await loginSite(cleanup, options)
    delete observed.wire // the app's requests are counted, not looked at
    await run(site, given.flow, observed)
    if (site.errors.length > 0) observed.error = site.errors.at(-1)
  }))
})

/** Comes back from the provider, and counts what the app asks of it meanwhile. */
async function comeBack (site: LoginSite, browser: Browser, url: string, observed: Observation): Promise<void> {
  const before = site.provider.requests.length
  const page = await site.open(browser, url)
  observed.facts = { status: page.status, network_requests: site.provider.requests.length - before }
}

const lateCallback = scenario(async (site, sentence, observed) => {
  const browser = new Browser()
  const url = await site.begin(browser)
  // A browser that keeps its cookie for too long must not help.
  browser.cookies = browser.cookies.map(cookie => ({ ...cookie, expires: undefined }))
  await later(numberIn(sentence, /(\d+) s\b/), () => comeBack(site, browser, url, observed))
})

const crossSessionCallback = scenario(async (site, _sentence, observed) => {
  const url = await site.begin(new Browser())
  const victim = new Browser()
  // The victim has a session, and a login under way, too.
  await site.begin(victim)
  await comeBack(site, victim, url, observed)
})

const postCallback = scenario(async (site, _sentence, observed) => {
  const browser = new Browser()
  const form = await browser.get(`${site.url}/login/acme`)
  const page = await browser.submitForm(form, {}, asJson)
  observed.facts = { status: page.status, ok: await site.userOf(browser) === 'alice' }
}, { responseMode: 'form_post' })

/** An answer of 4xx is what is expected of these: the error behind it is not. */
const bareCallback: Operation = {
  given: ['flow'],
  run: async () => await withCleanup(async cleanup => await observe(async (observed) => {
    const site = await loginSite(cleanup)
    delete observed.wire
    await comeBack(site, new Browser(), `${site.url}/login/acme/callback`, observed)
  }))
}

/** `abandoned_logins`: what logins leave behind that nobody finishes. */
const abandonedLogins = scenario(async (site, sentence, observed) => {
  const browser = new Browser()
  const count = numberIn(sentence, /(\d+) times/)
  for (let login = 0; login < count; login++) await browser.get(`${site.url}/login/acme`, { redirect: 'manual' })
  const { records } = site.store
  const size = [...records.values()].join('').length
  observed.facts = { session_size_bounded: browser.cookies.length <= 12 && records.size <= 12 && size < 12 * 1024 }
})

export const siteLoginOperations = {
  late_callback: lateCallback,
  cross_session_callback: crossSessionCallback,
  post_callback: postCallback,
  bare_callback: bareCallback,
  abandoned_logins: abandonedLogins
}
