import { existsSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'
import { documentPaths, read } from '../types/documents.ts'
import { repository } from '../types/installed-package.ts'

// No dead link and no dead anchor in any Markdown document of the repository. Pages of others are not fetched.

const paths = documentPaths()
const anchors = new Map(paths.map(path => [path, anchorsOf(read(path))]))

t.test('every link leads somewhere', async (t) => {
  let count = 0
  for (const path of paths) {
    for (const link of linksOf(read(path))) {
      if (/^(?:https|mailto):/.test(link)) continue
      count++
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : normalize(join(dirname(path), decodeURIComponent(file)))
      if (!existsSync(join(repository, target)) || target.startsWith('..')) t.fail(`${path}: ${link}`)
      else if (anchor !== undefined && statSync(join(repository, target)).isFile()) {
        t.ok(anchors.get(target)?.has(anchor) ?? /^L\d+/.test(anchor), `${path}: ${link}`)
      }
    }
  }
  t.ok(count > 100, `${count} links`)
})

t.test('links to other sites are https', async (t) => {
  for (const path of paths) t.strictSame(linksOf(read(path)).filter(link => link.startsWith('http:')), [], path)
})

/** Targets of links and pictures; code is not looked at. */
function linksOf (markdown: string): string[] {
  const prose = withoutCode(markdown)
  return [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g), ...prose.matchAll(/(?:href|src|srcset)="([^"]+)"/g)]
    .map(([, link = '']) => link)
}

/** The anchors that GitHub makes of headings, and those that are written. */
function anchorsOf (markdown: string): Set<string> {
  const found = new Set<string>()
  for (const [, heading = ''] of markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/^#{1,6} (.+)$/gm)) {
    const slug = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '').trim().toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '').replaceAll(' ', '-')
    let anchor = slug
    for (let twin = 1; found.has(anchor); twin++) anchor = `${slug}-${twin}`
    found.add(anchor)
  }
  for (const [, name = ''] of markdown.matchAll(/<a (?:id|name)="([^"]+)"/g)) found.add(name)
  return found
}

function withoutCode (markdown: string): string {
  return markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '')
}
