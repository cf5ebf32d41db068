/** Prints results as tables. */
import type { MeasureResult, Row } from './results.ts'

/** Columns of text, or Markdown. */
export function formatTable (result: MeasureResult, markdown: boolean): string {
  const columns = [...new Set(result.rows.flatMap(({ values }) => Object.keys(values)))]
  const hasTargets = result.rows.some(({ targets = [] }) => targets.length > 0)
  const lines = [
    ['', ...columns, ...hasTargets ? ['at most'] : []],
    ...result.rows.map((row) => {
      const values = columns.map(name => formatValue(row, name))
      return [row.title, ...values, ...hasTargets ? [formatTargets(row)] : []]
    })
  ]
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map(line => line[column]!.length)))
  const padded = lines.map(line => line.map((cell, column) => {
    return column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
  }))
  if (!markdown) return [result.title, ...padded.map(line => `  ${line.join('  ')}`.trimEnd())].join('\n')
  const rule = widths.map((width, column) => '-'.repeat(Math.max(3, width) - 1) + (column === 0 ? '-' : ':'))
  const table = [padded[0]!, rule, ...padded.slice(1)].map(line => `| ${line.join(' | ')} |`)
  return [`**${result.title}**`, '', ...table].join('\n')
}

function formatValue ({ values, failure }: Row, name: string): string {
  const value = values[name]
  if (value === undefined) return failure === undefined ? '' : 'failed'
  if (typeof value === 'string') return value
  if (typeof value === 'number') return formatNumber(value)
  return `${value.median.toFixed(2)} (${value.least.toFixed(2)}–${value.greatest.toFixed(2)})`
}

const formatNumber = (value: number) => {
  if (Number.isInteger(value)) return value.toLocaleString('en')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** The first target is against the base; another one says what it is against. */
function formatTargets ({ targets = [] }: Row): string {
  return targets.map(({ against, ratio, atMost, met }, index) => {
    const verdict = `${atMost.toFixed(2)} ${met ? 'met' : 'MISSED'}`
    return index === 0 ? verdict : `${verdict} (${ratio.toFixed(2)} of ${against})`
  }).join(', ')
}

/** Says on standard error how far a long measure is. */
export function reportProgress (text: string): void {
  console.error(`${new Date().toTimeString().slice(0, 8)} ${text}`)
}

/** Why contestants failed, and which targets were missed. */
export function formatRemarks ({ rows }: MeasureResult): string[] {
  return rows.flatMap(({ title, failure, targets = [] }) => [
    ...(failure === undefined ? [] : [`${title} failed: ${failure}`]),
    ...targets.filter(({ met }) => !met).map(({ against, ratio, atMost }) => {
      return `${title} is ${ratio.toFixed(2)} of "${against}"; at most ${atMost.toFixed(2)} is wanted`
    })
  ])
}
