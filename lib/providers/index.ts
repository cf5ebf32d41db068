export { github, type PresetOptions } from './github.ts'
export type { ProviderOptions, User, UserProfile } from './types.ts'
