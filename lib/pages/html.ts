// What the plugin's own pages share: the style sheet, the Content-Security-Policy, and the document around each, with
// every text escaped. There is one inline style sheet, allowed by its hash: the pages need no other request, and an
// injected style has no effect.

import { createHash } from 'node:crypto'

/** The exact text between `<style>` and `</style>`: its hash is in the policy. */
const pageStyle = `
:root {
  color-scheme: light dark;
  --ground: #f3f4f6;
  --card: #ffffff;
  --edge: #d8dce2;
  --control-edge: #7b8494;
  --text: #1d2129;
  --quiet: #566070;
  --accent: #1f5bb5;
  --accent-strong: #174890;
  --on-accent: #ffffff;
  --hover: #eef3fb;
  --alarm: #9c1c1c;
  --alarm-ground: #fdf1f0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #121519;
    --card: #1b1f26;
    --edge: #323945;
    --control-edge: #7d8797;
    --text: #e8ebf0;
    --quiet: #a5afbd;
    --accent: #8fbaff;
    --accent-strong: #b3d0ff;
    --on-accent: #0d1a2d;
    --hover: #252c37;
    --alarm: #ffb4ab;
    --alarm-ground: #331d1d;
  }
}
*, ::before, ::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0;
  padding: 1rem;
  min-height: 100vh;
  min-height: 100svh;
  display: flex;
  flex-direction: column;
  align-items: center;
  background: var(--ground);
  color: var(--text);
  font: 1.0625rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  overflow-wrap: anywhere;
}
body::before { content: ""; flex: 2 0 0; }
body::after { content: ""; flex: 3 0 0; }
main, footer { width: 100%; max-width: 27rem; }
main {
  padding: 1.75rem 1.5rem;
  background: var(--card);
  border: 1px solid var(--edge);
  border-radius: 14px;
  box-shadow: 0 1px 2px rgb(0 0 0 / 5%), 0 8px 24px rgb(0 0 0 / 5%);
}
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; font-weight: 650; text-wrap: balance; }
p { margin: 0; text-wrap: pretty; }
ul { list-style: none; margin: 1.5rem 0 0; padding: 0; display: grid; gap: .75rem; }
form { margin: 1.5rem 0 0; display: grid; gap: .75rem; }
.field { display: grid; gap: .3rem; margin-bottom: .25rem; }
label { font-weight: 600; font-size: 1rem; }
input, button { font: inherit; }
input, .button {
  width: 100%;
  min-height: 3rem;
  padding: .625rem 1rem;
  border: 1px solid var(--control-edge);
  border-radius: 9px;
  background: var(--card);
  color: var(--text);
}
input { padding-inline: .8rem; }
.button {
  display: flex;
  align-items: center;
  justify-content: center;
  font-weight: 600;
  line-height: 1.3;
  text-align: center;
  text-decoration: none;
  cursor: pointer;
}
.button:hover { background: var(--hover); }
.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
.primary:hover { background: var(--accent-strong); border-color: var(--accent-strong); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.alarm {
  margin: 1.25rem 0 0;
  padding: .75rem 1rem;
  border: 1px solid var(--alarm);
  border-radius: 9px;
  background: var(--alarm-ground);
  color: var(--alarm);
}
footer { padding: 1rem 1.5rem 0; color: var(--quiet); font-size: .8125rem; }
code { font: .95em ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
@media (min-width: 40rem) {
  main { padding: 2.25rem 2.25rem; }
  footer { padding-inline: 2.25rem; }
}
`

const styleHash = createHash('sha256').update(pageStyle, 'utf8').digest('base64')

/**
 * The `Content-Security-Policy` header for the plugin's own pages: their style sheet and nothing else.
 *
 * @param options.formAction where the page's form may lead: `'self'` in its single quotes, and URLs, of which the
 *   origin is used. Chromium holds the redirects that follow a form's POST to this list too, so a logout that goes on
 *   to the provider has to name the provider's origin; if the provider itself goes on to hosts that are not known
 *   beforehand, the scheme `https:` is a source as well. Anything else is left out. Default: none, for pages without
 *   a form.
 * @param options.scriptNonce the nonce of the page's one script. Default: no script at all.
 * @param options.framed whether pages of the app's own origin may show the page in a frame. Default: no page may.
 * @returns the header's value
 * @see https://www.w3.org/TR/CSP3/
 */
export function contentSecurityPolicy (
  options: { formAction?: string[] | undefined, scriptNonce?: string, framed?: boolean } = {}
): string {
  const targets = new Set((options.formAction ?? []).map(toSource).filter((source) => source !== undefined))
  return [
    "default-src 'none'",
    `style-src 'sha256-${styleHash}'`,
    ...(options.scriptNonce === undefined ? [] : [`script-src 'nonce-${options.scriptNonce}'`]),
    "base-uri 'none'",
    `frame-ancestors ${options.framed === true ? "'self'" : "'none'"}`,
    `form-action ${targets.size === 0 ? "'none'" : [...targets].join(' ')}`,
  ].join('; ')
}

function toSource (target: string): string | undefined {
  if (target === "'self'" || target === 'https:') return target
  if (!/^https?:/i.test(target) || !URL.canParse(target)) return undefined
  const { origin } = new URL(target)
  // A host name may hold `;` and `,` as far as the URL parser is concerned. In a header they would end the directive.
  return /^https?:\/\/[\w.:[\]-]+$/.test(origin) ? origin : undefined
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/**
 * Makes a text safe to stand in HTML: between tags, or within a quoted attribute.
 *
 * @param text any text
 * @returns the text with `&`, `<`, `>`, `"` and `'` as character references
 */
export function escapeHtml (text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!)
}

/** Markup that `html` has built, which it does not escape again. */
export class Markup {
  readonly text: string
  constructor (text: string) { this.text = text }
}

/**
 * Builds markup from a template: whatever is interpolated is escaped, unless it is markup itself; arrays are joined.
 */
export function html (parts: TemplateStringsArray, ...values: unknown[]): Markup {
  return new Markup(parts.reduce((before, part, index) => before + render(values[index - 1]) + part))
}

function render (value: unknown): string {
  if (value === undefined || value === null) return ''
  if (value instanceof Markup) return value.text
  return Array.isArray(value) ? value.map(render).join('') : escapeHtml(String(value))
}

/**
 * Keeps `href` and `action` on the app's own origin: anything but a path there becomes the app's start page. Escaping
 * alone does not disarm `javascript:` or `//elsewhere.example`.
 */
export function ownPath (path: string): string {
  // Browsers remove tabs and line breaks from a URL and read `\` as `/`, so neither is allowed.
  // eslint-disable-next-line no-control-regex
  return /^\/(?![/\\])[^\x00-\x20\x7f]*$/.test(path) ? path : '/'
}

/** A whole document around what is in its `<main>`; `head` is added to its `<head>`. */
export function page (title: string, main: Markup, footer?: Markup, head?: Markup): string {
  // strict-origin: a URL with a code or state in it is never sent as a Referer. With no-referrer, forms would be sent
  // without an Origin that can be checked.
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="strict-origin">
<meta name="robots" content="noindex">
<title>${title}</title>${head}
<style>${new Markup(pageStyle)}</style>
</head>
<body>
<main>
${main}
</main>
${footer}
</body>
</html>
`.text
}
