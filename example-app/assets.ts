// The style sheet, scripts and icons in `public/`, read once and served from memory by the board and the provider.
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { publicDirectory } from './templates.ts'

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
 * Headers for every page: nothing inline, nothing from another origin.
 * @param formAction the origins that a form may lead to. Browsers apply the list to redirects after a form, too: the
 *   app names its provider (POST /logout goes on to it), the provider names the app (the login form leads back to it).
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
