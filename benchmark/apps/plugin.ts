/** The plugin as it is built: `dist/`. */
type Plugin = typeof import('../../dist/index.js')
type Redis = typeof import('../../dist/redis.js')

// Seen from benchmark/dist/apps.
const dist = new URL('../../../dist/', import.meta.url)

export async function loadPlugin (): Promise<Plugin> {
  return await import(new URL('index.js', dist).href) as Plugin
}

export async function loadRedisStore (): Promise<Redis> {
  return await import(new URL('redis.js', dist).href) as Redis
}
