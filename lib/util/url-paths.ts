/** A path with what a URL cannot have percent-encoded. */
export function encodePath (path: string): string {
  return path.replace(/[^\u0021-\u007e]+/gu, encodeURIComponent)
}

/** A path of Fastify's router, which has no escapes, as a URL has it. */
export function fastifyPath (path: string): string {
  return encodePath(path.replaceAll('%', '%25'))
}

/** Paths one after the other, without slashes at their ends. */
export function joinPaths (...parts: string[]): string {
  let path = ''
  for (const part of parts) path += part.endsWith('/') ? part.replace(/\/+$/, '') : part
  return path
}
