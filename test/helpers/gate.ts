export { deferred, type Deferred, Gate } from '../../lib/testing/gate.ts'
