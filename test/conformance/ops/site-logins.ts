import { later } from '../cleanup.ts'
import { asJson } from '../../helpers/login-app.ts'
import type { Observation } from '../observation.ts'
import { observeAndClose, type Operation } from '../operation.ts'
import { Browser, loginSite, type LoginSite } from '../login-site.ts'
import { numberIn, secondsIn, speaksOf } from '../sentences.ts'

type Scenario = (site: LoginSite, sentence: string, observed: Observation) => Promise<void>

/**
 * A login in a Fastify app. What the app tells its `onError` is the outcome, and a login where it tells nothing.
 * @param subjects what its sentence must speak of
 */
const scenario = (subjects: RegExp[], run: Scenario, options: Parameters<typeof loginSite>[1] = {}): Operation => ({
  given: ['flow'],
  run: async ({ given }) => await observeAndClose(async (observed, cleanup) => {
    speaksOf(given.flow, ...subjects)
    const site = await loginSite(cleanup, options)
    delete observed.wire // the app's requests are counted, not looked at
    await run(site, given.flow, observed)
    if (site.errors.length > 0) observed.error = site.errors.at(-1)
  })
})

/** Comes back from the provider, and counts what the app asks of it meanwhile. */
async function comeBack (site: LoginSite, browser: Browser, url: string, observed: Observation): Promise<void> {
  const before = site.provider.requests.length
  const page = await site.open(browser, url)
  observed.facts = { status: page.status, network_requests: site.provider.requests.length - before }
}

const lateCallback = scenario([/callback|comes? back|return/], async (site, sentence, observed) => {
  const browser = new Browser()
  const url = await site.begin(browser)
  // A browser that keeps its cookie for too long must not help.
  browser.cookies = browser.cookies.map(cookie => ({ ...cookie, expires: undefined }))
  await later(secondsIn(sentence), () => comeBack(site, browser, url, observed))
})

const crossSessionCallback = scenario(
  [/attacker|victim|other|another|two/i, /session|browser/i],
  async (site, _sentence, observed) => {
    const url = await site.begin(new Browser())
    const victim = new Browser()
    // The victim has a session, and a login under way, too.
    await site.begin(victim)
    await comeBack(site, victim, url, observed)
  }
)

/** A callback that is opened a second time, after it has logged the user in. */
const replayedCallback = scenario([/twice|again|replay|second/i], async (site, _sentence, observed) => {
  const browser = new Browser()
  const url = await site.begin(browser)
  await site.open(browser, url)
  if ((await site.userOf(browser)) !== 'alice') throw new Error('the first callback did not log the user in')
  await comeBack(site, browser, url, observed)
})

/** Two logins that one browser begins side by side; the first one comes back last. */
const parallelLogins = scenario(
  [/two|2|both|several|parallel/i, /tab|login|window/i],
  async (site, _sentence, observed) => {
    const browser = new Browser()
    const urls = [await site.begin(browser), await site.begin(browser)]
    const done: boolean[] = []
    for (const url of urls.reverse()) {
      await site.open(browser, url)
      done.push((await site.userOf(browser)) === 'alice')
    }
    observed.facts = { ok: done.every(Boolean), all_succeed: done.every(Boolean) }
  }
)

const postCallback = scenario(
  [/form_post|POST/],
  async (site, _sentence, observed) => {
    const browser = new Browser()
    const form = await browser.get(`${site.url}/login/acme`)
    const page = await browser.submitForm(form, {}, asJson)
    observed.facts = { status: page.status, ok: (await site.userOf(browser)) === 'alice' }
  },
  { responseMode: 'form_post' }
)

const bareCallback = scenario(
  [/no (?:query )?param|without (?:any )?param|nothing|bare|empty/i],
  async (site, _sentence, observed) => {
    await comeBack(site, new Browser(), `${site.url}/login/acme/callback`, observed)
  }
)

/** `abandoned_logins`: what logins leave behind that are never finished. */
const abandonedLogins = scenario(
  [/without finish|never finish|abandon|not finish/],
  async (site, sentence, observed) => {
    const browser = new Browser()
    const count = numberIn(sentence, /(\d+) times/)
    for (let login = 0; login < count; login++) await browser.get(`${site.url}/login/acme`, { redirect: 'manual' })
    const { records } = site.store
    const size = [...records.values()].join('').length
    observed.facts = { session_size_bounded: browser.cookies.length <= 12 && records.size <= 12 && size < 12 * 1024 }
  }
)

export const siteLoginOperations = {
  late_callback: lateCallback,
  cross_session_callback: crossSessionCallback,
  replayed_callback: replayedCallback,
  callback_replay: replayedCallback,
  callback_twice: replayedCallback,
  parallel_logins: parallelLogins,
  two_tabs: parallelLogins,
  post_callback: postCallback,
  bare_callback: bareCallback,
  abandoned_logins: abandonedLogins
}
