// The style sheet, the scripts and the icon in `public/`: read once, served from memory, by both servers that have
// pages.
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { publicDirectory } from './pages.ts'

export interface Asset { path: string, type: string, body: Buffer }

const types: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

export function readAssets (): Asset[] {
  return readdirSync(publicDirectory).flatMap((file) => {
    const type = types[extname(file)]
    return type ? [{ path: `/${file}`, type, body: readFileSync(new URL(file, publicDirectory)) }] : []
  })
}

/**
 * Headers for every page: nothing inline, nothing from elsewhere.
 * `formAction` lists the origins that a form may lead to. Browsers hold redirects after a form to that list too, so the
 * app names its provider (POST /logout goes on to it) and the provider names the app (the login form comes back to it).
 */
export function pageHeaders (formAction: string): Record<string, string> {
  return {
    'content-security-policy': [
      "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
      `form-action 'self' ${formAction}`, "base-uri 'none'", "frame-ancestors 'none'",
    ].join('; '),
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
  }
}
