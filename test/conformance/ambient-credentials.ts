import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Does some work in an environment that has other credentials for a host: a .netrc, and a proxy with a user of its own.
 */
export async function withAmbientCredentials (host: string, work: () => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'))
  await writeFile(join(folder, '.netrc'), `machine ${host} login user password else\n`)
  const proxy = 'http://user:password@127.0.0.1:9'
  const ambient = {
    HOME: folder,
    NETRC: join(folder, '.netrc'),
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy
  }
  const before = Object.keys(ambient).map(name => [name, process.env[name]] as const)
  Object.assign(process.env, ambient)
  try {
    await work()
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    await rm(folder, { recursive: true })
  }
}
