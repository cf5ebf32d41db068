export { redisStore, type RedisStoreOptions } from './session/redis-token-store.ts'
export type { RedisClient } from './session/redis-client.ts'
export type { TokenStore } from './session/token-store.ts'
