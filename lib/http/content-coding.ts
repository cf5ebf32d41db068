import { type Readable, Transform, type TransformCallback } from 'node:stream'
import { promisify } from 'node:util'
import {
  brotliDecompress,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  gunzip,
  inflate,
  inflateRaw,
  type ZlibOptions
} from 'node:zlib'
import { InvalidResponseError } from '../errors.ts'
import { tooLarge } from './too-large.ts'

/** The content codings that can be decoded, for `Accept-Encoding`. */
export const CODINGS = 'gzip, deflate, br'

/** Codings that one body may have, one over the other. */
const MAX_LAYERS = 5

type Unpack = (body: Buffer, options: ZlibOptions) => Promise<Buffer>

const unpackGzip: Unpack = promisify<Buffer, ZlibOptions, Buffer>(gunzip)
const unpackZlib: Unpack = promisify<Buffer, ZlibOptions, Buffer>(inflate)
const unpackRaw: Unpack = promisify<Buffer, ZlibOptions, Buffer>(inflateRaw)
const unpackers: Record<string, Unpack> = {
  gzip: unpackGzip,
  'x-gzip': unpackGzip,
  deflate: (body, options) => isZlib(body) ? unpackZlib(body, options) : unpackRaw(body, options),
  br: promisify<Buffer, object, Buffer>(brotliDecompress)
}

// Returns what there is at each flush of the server, and accepts a missing end: an event stream has none.
const zlibFlush = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH }
const brotliFlush = { flush: constants.BROTLI_OPERATION_FLUSH, finishFlush: constants.BROTLI_OPERATION_FLUSH }
const streams: Record<string, () => Transform> = {
  gzip: () => createGunzip(zlibFlush),
  'x-gzip': () => createGunzip(zlibFlush),
  deflate: () => new InflateStream(),
  br: () => createBrotliDecompress(brotliFlush)
}

/**
 * Decodes a body's content codings (RFC 9110, section 8.4).
 * @param limit bytes that the body may have after each coding
 * @throws FST_OAUTH_INVALID_RESPONSE
 */
export async function decodeBody (body: Buffer, encoding: string | string[], limit: number): Promise<Buffer> {
  const codings = codingsOf(encoding)
  const unknown = codings.find(coding => !Object.hasOwn(unpackers, coding))
  if (unknown !== undefined) {
    throw new InvalidResponseError(`the answer is encoded as "${unknown.slice(0, 40)}", which cannot be read here`, {
      reason: 'encoding'
    })
  }
  if (codings.length > MAX_LAYERS) {
    throw new InvalidResponseError(`the answer is encoded more than ${MAX_LAYERS} times over`, { reason: 'encoding' })
  }
  for (const coding of codings) {
    try {
      body = await unpackers[coding]!(body, { maxOutputLength: limit })
    } catch (cause) {
      throw (cause as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE'
        ? tooLarge(limit)
        : new InvalidResponseError('the answer cannot be decompressed', { reason: 'encoding', cause })
    }
  }
  return body
}

/** A body without its content codings, chunk by chunk; undefined if it has none, or an unknown one. */
export function decodeStream (body: Readable, encoding: string | string[] | undefined): Readable | undefined {
  const codings = encoding === undefined ? [] : codingsOf(encoding)
  if (codings.length === 0 || codings.length > MAX_LAYERS || codings.some(coding => !Object.hasOwn(streams, coding))) {
    return undefined
  }
  return codings.reduce<Readable>((packed, coding) => {
    const unpacked = streams[coding]!()
    packed.on('error', error => unpacked.destroy(error))
    unpacked.on('close', () => packed.destroy())
    return packed.pipe(unpacked)
  }, body)
}

/** The codings, the outermost first. */
function codingsOf (encoding: string | string[]): string[] {
  return String(encoding)
    .toLowerCase()
    .split(',')
    .map(coding => coding.trim())
    .filter(coding => coding !== '' && coding !== 'identity')
    .reverse()
}

// `deflate` is the zlib format (RFC 9110, section 8.4.1.2); some servers send the raw stream.
function isZlib (body: Buffer): boolean {
  return ((body[0] ?? 0) & 0x0f) === 0x08
}

class InflateStream extends Transform {
  #inflate: Transform | undefined

  override _transform (chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#inflate ??= this.#start(chunk)
    this.#inflate.write(chunk, done)
  }

  override _read (size: number): void {
    this.#inflate?.resume()
    super._read(size)
  }

  override _flush (done: TransformCallback): void {
    if (this.#inflate === undefined) return done()
    this.#inflate.once('end', () => done())
    this.#inflate.end()
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    this.#inflate?.destroy()
    done(error)
  }

  #start (first: Buffer): Transform {
    const inflate = isZlib(first) ? createInflate(zlibFlush) : createInflateRaw(zlibFlush)
    inflate.on('data', (chunk: Buffer) => { if (!this.push(chunk)) inflate.pause() })
    inflate.on('error', error => this.destroy(error))
    return inflate
  }
}
