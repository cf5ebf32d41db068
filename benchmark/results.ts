/** What a measure gives: printed as a table, and written as it is. */
import { fileURLToPath } from 'node:url'
import type { Ratio } from './statistics.ts'

/** Seen from benchmark/dist. */
export const RESULTS_FOLDER = fileURLToPath(new URL('../results/', import.meta.url))

export interface Target {
  /** The title of the row that it is against. */
  readonly against: string
  readonly atMost: number
}

export interface Row {
  title: string
  /** Why the contestant was not measured. */
  failure?: string
  /** Column → value; a ratio is shown with its least and greatest. */
  values: Record<string, number | string | Ratio>
  targets?: Array<Target & { ratio: number, met: boolean }>
  /** As they were measured, round by round. */
  rounds?: unknown
}

export interface MeasureResult {
  name: string
  title: string
  rows: Row[]
}
