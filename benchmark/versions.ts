/** The versions that are measured: those of the packages as they are installed. */
import { existsSync, readFileSync } from 'node:fs'

// Seen from benchmark/dist.
const FOLDER = new URL('../', import.meta.url)
const PROJECT = new URL('../../', import.meta.url)

interface Manifest { version: string, dependencies?: Record<string, string> }

const read = (url: URL) => JSON.parse(readFileSync(url, 'utf8')) as Manifest

export function installedVersions (): Record<string, string> {
  const { dependencies = {} } = read(new URL('package.json', FOLDER))
  const ground = ['fastify', '@fastify/session', 'undici', 'jose']
  return Object.fromEntries([...ground, ...Object.keys(dependencies)].flatMap((name) => {
    const found = [FOLDER, PROJECT]
      .map(folder => new URL(`node_modules/${name}/package.json`, folder))
      .find(url => existsSync(url))
    return found === undefined ? [] : [[name, read(found).version]]
  }))
}
