export interface FencedBlock {
  /** The first word behind the opening fence. */
  readonly language: string
  /** The second one: the name of the file that the block is. */
  readonly file: string | undefined
  /** The text of the heading, of any level, that it stands below. */
  readonly heading: string
  /** Of the opening fence, from 1. */
  readonly line: number
  readonly code: string
}

/** The fenced code blocks of a Markdown document. */
export function fencedBlocks (markdown: string): FencedBlock[] {
  let heading = ''
  let end = 0
  return [...markdown.matchAll(/^```(\S*)(?: (\S+))?\n([\s\S]*?)^```$/gm)].map(
    ({ 0: block, 1: language = '', 2: file, 3: code = '', index }) => {
      heading = [...markdown.slice(end, index).matchAll(/^#+ (.+)$/gm)].at(-1)?.[1] ?? heading
      end = index + block.length
      return { language, file, code, heading, line: markdown.slice(0, index).split('\n').length }
    }
  )
}

export interface Table {
  readonly header: string[]
  readonly rows: string[][]
}

/** The first table below a heading, cell by cell. */
export function tableBelow (markdown: string, heading: string): Table {
  const start = markdown.search(new RegExp(`^#+ ${heading}$`, 'm'))
  if (start === -1) throw new Error(`no heading "${heading}"`)
  const lines = markdown.slice(start).split('\n').slice(1)
  const section = lines.slice(0, lines.findIndex((line, index) => index > 0 && line.startsWith('#')) >>> 0)
  const first = section.findIndex((line) => line.startsWith('|'))
  if (first === -1) throw new Error(`no table below "${heading}"`)
  const [header = [], , ...rows] = section
    .slice(first, section.findIndex((line, index) => index > first && !line.startsWith('|')) >>> 0)
    .map(cells)
  return { header, rows }
}

// `a \| b` is one cell.
function cells (line: string): string[] {
  return line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replaceAll('\\|', '|'))
}
