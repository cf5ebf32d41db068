import type { Operation } from '../operation.ts'
import { autoDetectOperations } from './auto-detect.ts'
import { callOperations } from './calls.ts'
import { deviceOperations } from './device.ts'
import { idTokenOperations } from './id-tokens.ts'
import { loginOperations } from './logins.ts'
import { siteLoginOperations } from './site-logins.ts'
import { siteRefreshOperations } from './site-refreshes.ts'
import { smallOperations } from './small.ts'
import { hostAppOperations } from './host-app.ts'
import { tokenOperations } from './tokens.ts'

/** Every `op` that this runner knows. MAC tokens stay out: an experiment that no provider took up. */
export const operations: Record<string, Operation | undefined> = {
  ...tokenOperations,
  ...loginOperations,
  ...callOperations,
  ...smallOperations,
  ...deviceOperations,
  ...autoDetectOperations,
  ...siteLoginOperations,
  ...siteRefreshOperations,
  ...idTokenOperations,
  ...hostAppOperations
}
