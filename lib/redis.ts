export type { RedisClient } from './tokens/stores/redis/client.ts'
export { redisStore, type RedisStoreOptions } from './tokens/stores/redis/redis-store.ts'
export type { TokenStore } from './tokens/stores/token-store.ts'
