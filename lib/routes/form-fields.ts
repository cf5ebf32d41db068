import type { FastifyRequest } from 'fastify'
import { isObject } from '../util/is-object.ts'

/** Members that a posted form may have; an authorization response has a dozen. */
const MAX_FIELDS = 100

/** Parameters of a callback, from the query or from a form that the provider made the browser post. */
export function callbackParams (request: FastifyRequest): URLSearchParams {
  if (request.method !== 'POST') {
    const { url } = request
    const start = url.indexOf('?')
    return new URLSearchParams(start < 0 ? '' : url.slice(start + 1))
  }
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(postedFields(request))) {
    // A JSON body can hold anything; what is not a string counts as empty.
    for (const item of Array.isArray(value) ? value.slice(0, MAX_FIELDS) : [value]) {
      params.append(name, typeof item === 'string' ? item : '')
    }
  }
  return params
}

/**
 * The fields of a posted form or JSON object. A body of another kind (text, list, bytes) has none, nor has one with
 * more members than any of these forms: parsers and limits may be the app's own.
 */
function postedFields ({ body }: FastifyRequest): Record<string, unknown> {
  if (!isObject(body) || ArrayBuffer.isView(body)) return {}
  return Object.keys(body).length > MAX_FIELDS ? {} : body
}

/** One field of a posted form or JSON body: for a secret, which must not be in a URL. */
export function postedField (request: FastifyRequest, name: string): string | undefined {
  const fields = postedFields(request)
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined
  return typeof value === 'string' ? value : undefined
}

/** One field of a posted form or JSON body, or a parameter of the query. */
export function field (request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Record<string, unknown> | null | undefined)?.[name]
  return postedField(request, name) ?? (typeof value === 'string' ? value : undefined)
}
