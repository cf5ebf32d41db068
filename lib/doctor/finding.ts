/** What the doctor found. */
export interface Finding {
  /** Stable, for scripts. */
  id: string
  /** `problem`: logins fail, or are less safe than they could be. `note`: odd, and worth knowing. */
  level: 'problem' | 'note'
  /** What it is, and what to do about it. */
  message: string
}

export const problem = (id: string, message: string): Finding => ({ id, level: 'problem', message })

export const note = (id: string, message: string): Finding => ({ id, level: 'note', message })
