import type { Entry, Group } from './checklist.ts'

export const BEGIN = '<!-- The table of npm run security-table: begin -->'
export const END = '<!-- The table of npm run security-table: end -->'

/** A text in a cell of a Markdown table. */
export const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

/** The first two cells of an entry's row. */
export const rowStart = ({ threat, file }: Entry): string =>
  `| ${cell(threat)} | [${file.replace('test/', '')}](${file}) |`

/**
 * The checklist as Markdown, a table a group.
 * @param heading what the results are of, one line
 * @param outcome the third cell of an entry
 */
export function writeTables (
  groups: readonly Group[], heading: string, outcome: (entry: Entry) => string
): string {
  const tables = groups.map(({ name, entries }) => [
    `### ${name}`,
    '',
    '| what is refused or survived | test | result |',
    '| --- | --- | --- |',
    ...entries.map(entry => `${rowStart(entry)} ${cell(outcome(entry))} |`),
    ''
  ].join('\n'))
  return [BEGIN, '', heading, '', ...tables, END].join('\n')
}

/** Puts the tables where those before them are. */
export function replaceTables (document: string, tables: string): string {
  const start = document.indexOf(BEGIN)
  const end = document.indexOf(END)
  if (start === -1 || end < start) throw new Error(`the document has no place for the table: ${BEGIN} … ${END}`)
  return document.slice(0, start) + tables + document.slice(end + END.length)
}
