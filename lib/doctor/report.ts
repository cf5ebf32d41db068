import type { Finding } from './finding.ts'
import type { Step } from './login.ts'
import type { Offer } from './offers.ts'

/** Everything that the doctor has to say. */
export interface Report {
  title: string
  preset?: string
  issuer?: string
  metadataUrl?: string
  /** What a preset sets, in plain words. */
  sets?: string[]
  offers: Offer[]
  findings: Finding[]
  /** TypeScript. */
  options: string
  redirectUri: string
  postLogoutRedirectUri?: string
  backchannelLogoutUri?: string
  login?: Step[]
}

/** Whether there is a problem. */
export function hasProblems ({ findings, login = [] }: Report): boolean {
  return findings.some(({ level }) => level === 'problem') || login.some(({ result }) => result === 'failed')
}

/** The report for a person. */
export function reportText (report: Report): string {
  const { title, preset, metadataUrl, sets = [], offers, findings, options } = report
  const width = Math.max(0, ...offers.map(({ what }) => what.length))
  const problems = findings.filter(({ level }) => level === 'problem')
  const notes = findings.filter(({ level }) => level === 'note')
  // Options for an issuer at which nothing was found would lead to the same problem in the app.
  const isFound = preset !== undefined || metadataUrl !== undefined
  const sections = [
    [title, ...(metadataUrl === undefined ? [] : [`metadata: ${metadataUrl}`])],
    sets.length > 0 ? ['What the preset sets', ...sets.map(line => `  ${line}`)] : [],
    offers.length > 0 ? ['What it offers', ...offers.map(offer => lineOf(offer, width))] : [],
    problems.length > 0 ? ['Problems', ...problems.map(({ message }) => `  ✗ ${message}`)] : [],
    notes.length > 0 ? ['Worth knowing', ...notes.map(({ message }) => `  ! ${message}`)] : [],
    isFound ? ['Options to paste', ...options.split('\n').map(line => `  ${line}`.trimEnd())] : [],
    isFound ? ['To register at the provider', ...toRegister(report)] : [],
    [hasProblems(report) ? verdict(problems.length, report.login) : 'All is well.']
  ]
  return sections.filter(lines => lines.length > 0).map(lines => lines.map(printable).join('\n')).join('\n\n')
}

function toRegister ({ redirectUri, postLogoutRedirectUri, backchannelLogoutUri }: Report): string[] {
  return [
    `  redirect URI    ${redirectUri}`,
    ...(postLogoutRedirectUri === undefined ? [] : [`  after logout    ${postLogoutRedirectUri}`]),
    ...(backchannelLogoutUri === undefined ? [] : [`  logout tokens   ${backchannelLogoutUri}`])
  ]
}

function lineOf ({ offered, what, detail }: Offer, width: number): string {
  const line = `  ${offered ? '✓' : '–'} ${detail === undefined ? what : what.padEnd(width)}`
  return detail === undefined ? line : `${line}  ${detail}`
}

function verdict (problems: number, login: Step[] = []): string {
  const failed = login.filter(({ result }) => result === 'failed').map(({ step }) => step)
  const parts = [
    problems > 0 && `${problems} problem${problems === 1 ? '' : 's'}`,
    failed.length > 0 && `${failed.join(' and ')} failed`
  ]
  return `${parts.filter(Boolean).join('; ')}.`
}

/** A provider's text must not steer the terminal. */
function printable (line: string): string {
  return line.replaceAll(/\p{Cc}/gu, character => character === '\n' ? character : '?')
}
