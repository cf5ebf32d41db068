// Draws the sequence diagrams of this folder: each .txt becomes an .svg beside it. `npm run pictures`
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const CHARACTER = 7.4 // px, of the 14 px font below; a little too much rather than too little
const MARGIN = 24
const ROW = 46
const NOTE_ROW = 44

/** A diagram as text becomes SVG; the same text always becomes the same SVG. */
export function draw (text) {
  const { title, actors, steps } = parse(text)
  const columns = place(actors, steps)
  const widest = Math.max(0, ...steps.filter(step => step.kind === 'note').map(({ label }) => noteWidth(label)))
  const width = Math.ceil(Math.max(columns.at(-1).x + columns.at(-1).width / 2, MARGIN + widest) + MARGIN)
  const parts = []
  let y = 122
  for (const step of steps) {
    if (step.kind === 'note') {
      parts.push(note(step, columns, width, y))
      y += NOTE_ROW
    } else {
      parts.push(arrow(step, columns, y))
      y += ROW
    }
  }
  const height = y + 4
  const heads = columns.map(({ name, x, width: wide }) =>
    `<line class="life" x1="${x}" y1="92" x2="${x}" y2="${height - MARGIN}"/>
<rect class="head" x="${x - wide / 2}" y="58" width="${wide}" height="34" rx="8"/>
<text class="name" x="${x}" y="80">${escape(name)}</text>`)
  const spoken = steps.map(({ from, to, label }) => from === undefined ? label : `${from} to ${to}: ${label}`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"
  width="${width}" height="${height}" role="img">
<title>${escape(title)}</title>
<desc>${escape(spoken.join('. '))}</desc>
<style>
svg { --ground: #ffffff; --edge: #d8dce2; --text: #1d2129; --quiet: #566070; --accent: #1f5bb5; --note: #eef3fb; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #1b1f26; --edge: #3c4552; --text: #e8ebf0; --quiet: #a5afbd; --accent: #8fbaff; --note: #252c37; }
}
text {
  font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  fill: var(--text); text-anchor: middle;
}
.title { font-size: 17px; font-weight: 650; text-anchor: start; }
.name { font-weight: 650; }
.ground { fill: var(--ground); stroke: var(--edge); }
.head { fill: var(--note); stroke: var(--accent); }
.life { stroke: var(--edge); stroke-dasharray: 4 4; }
.note { fill: var(--note); stroke: var(--edge); }
.arrow { stroke: var(--accent); stroke-width: 1.6; fill: none; }
.back { stroke-dasharray: 6 4; }
.point { fill: var(--accent); }
.label { paint-order: stroke; stroke: var(--ground); stroke-width: 5px; stroke-linejoin: round; }
</style>
<rect class="ground" x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="12"/>
<text class="title" x="${MARGIN}" y="36">${escape(title)}</text>
${[...heads, ...parts].join('\n')}
</svg>
`
}

function parse (text) {
  const actors = []
  const steps = []
  let title = ''
  for (const line of text.split('\n').filter(item => item.trim() !== '')) {
    const arrow = /^(.+?) (-->|->) (.+?): (.+)$/.exec(line)
    const [, word, of, value] = /^(title|actor|note)( [^:]+)?: (.+)$/.exec(line) ?? []
    if (word === 'title') title = value
    else if (word === 'actor') actors.push(value)
    else if (word === 'note') steps.push({ kind: 'note', at: of?.trim(), label: value })
    else if (arrow !== null) {
      const [, from, kind, to, label] = arrow
      steps.push({ kind: 'arrow', from, to, label, back: kind === '-->' })
    } else throw new Error(`not a line of a diagram: ${line}`)
  }
  for (const { from, to, at } of steps) {
    for (const name of [from, to, at]) {
      if (name !== undefined && !actors.includes(name)) throw new Error(`no actor ${name}`)
    }
  }
  return { title, actors, steps }
}

/** Where each actor stands: so far apart that what is said between two of them fits. */
function place (actors, steps) {
  const columns = actors.map(name => ({ name, x: 0, width: Math.round(name.length * 8.4 + 32) }))
  columns[0].x = MARGIN + columns[0].width / 2
  for (let right = 1; right < columns.length; right++) {
    let x = columns[right - 1].x + (columns[right - 1].width + columns[right].width) / 2 + 48
    for (const { kind, from, to, label } of steps) {
      if (kind === 'note') continue
      const ends = [actors.indexOf(from), actors.indexOf(to)].sort((a, b) => a - b)
      if (ends[1] === right) x = Math.max(x, columns[ends[0]].x + label.length * CHARACTER + 24)
    }
    columns[right].x = Math.round(x)
  }
  return columns
}

function arrow ({ from, to, label, back }, columns, y) {
  const start = columns.find(({ name }) => name === from).x
  const end = columns.find(({ name }) => name === to).x
  const toRight = end > start ? 1 : -1
  const tip = end - toRight * 2
  return `<text class="label" x="${(start + end) / 2}" y="${y}">${escape(label)}</text>
<line class="arrow${back ? ' back' : ''}" x1="${start}" y1="${y + 10}" x2="${tip - toRight * 8}" y2="${y + 10}"/>
<path class="point" d="M${tip} ${y + 10}l${-toRight * 10} -5v10z"/>`
}

function note ({ at, label }, columns, width, y) {
  const wide = noteWidth(label)
  const wanted = at === undefined ? width / 2 : columns.find(({ name }) => name === at).x
  const x = Math.min(Math.max(wanted, wide / 2 + MARGIN), width - wide / 2 - MARGIN)
  return `<rect class="note" x="${x - wide / 2}" y="${y - 16}" width="${wide}" height="28" rx="6"/>
<text x="${x}" y="${y + 3}">${escape(label)}</text>`
}

function noteWidth (label) {
  return Math.round(label.length * CHARACTER + 20)
}

function escape (text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = import.meta.dirname
  for (const file of readdirSync(folder).filter(name => name.endsWith('.txt'))) {
    writeFileSync(join(folder, file.replace(/txt$/, 'svg')), draw(readFileSync(join(folder, file), 'utf8')))
  }
}
