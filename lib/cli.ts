#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { HELP, readArguments, type Arguments } from './doctor/arguments.ts'
import { examine, scopeOfLogin } from './doctor/examine.ts'
import { hasProblems, reportText } from './doctor/report.ts'
import { subjectOf } from './doctor/subject.ts'
import { UsageError } from './doctor/usage-error.ts'

const OK = 0
const PROBLEMS = 1
const USAGE = 2

process.exitCode = await main(process.argv.slice(2))

async function main (written: readonly string[]): Promise<number> {
  try {
    const asked = readArguments(written)
    if (asked.help) return say(HELP)
    if (asked.version) return say(versionOf())
    return await doctor(asked, asked.target!)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`${error.message}\n\nfastify-oauth-session --help says more.`)
    return USAGE
  }
}

async function doctor (asked: Arguments, target: string): Promise<number> {
  const { json, login, clientId, host, port, timeout } = asked
  // A look from outside needs neither.
  const client = login ? { clientId, clientSecret: process.env.CLIENT_SECRET || undefined } : {}
  const subject = await subjectOf(target, asked.options, { name: asked.name, ...client })
  const { report, metadata } = await examine(subject, asked)
  const canLogIn = report.issuer === undefined || metadata !== undefined
  if (login && canLogIn) {
    const { proveLogin } = await import('./doctor/login.ts')
    report.login = await proveLogin(subject, {
      host,
      port,
      timeout,
      scope: asked.scope ?? scopeOfLogin(subject, metadata),
      endsSessions: report.postLogoutRedirectUri !== undefined,
      hasUserinfo: metadata?.userinfo_endpoint !== undefined,
      // JSON alone goes to standard output.
      say: line => json ? console.error(line) : console.log(line)
    })
  }
  const isWell = !hasProblems(report)
  say(json ? JSON.stringify({ ok: isWell, ...report }, null, 2) : (login ? '\n' : '') + reportText(report))
  return isWell ? OK : PROBLEMS
}

function say (text: string): number {
  console.log(text)
  return OK
}

function versionOf (): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
