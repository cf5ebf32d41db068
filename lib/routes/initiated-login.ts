import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { UnknownProviderError } from '../errors.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { field } from './form-fields.ts'
import { forwardedParams, type LoginOptions, sendToProvider } from './login.ts'
import { passwordRoute } from './password-login.ts'
import { readReturnTo } from './return-to.ts'
import { visitorsProvider } from './visitors-provider.ts'

/** Characters of a `login_hint` that is passed on. */
const MAX_HINT = 1_024

/**
 * `POST /login/:provider`: user name and password, if the provider takes those; else a login that a third party
 * initiates with a form.
 */
export async function postedLoginRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  const { provider: name } = request.params as { provider: string }
  const provider = context.providers.get(name)
  return provider?.config.grantType === 'password'
    ? await passwordRoute(context, request, reply, provider)
    : await initiatedLoginRoute(context, request, reply)
}

/**
 * Starts a login that a third party initiates (OpenID Connect Core, section 4), by GET or POST: `iss` says at which
 * provider, `login_hint` is passed on, and `target_link_uri` is where it leads, on the app's own origin alone. It
 * starts a login and nothing else: no account is added to one that there is. Where the URL names a provider, its issuer
 * has to be the one that is named.
 * @throws FST_OAUTH_UNKNOWN_PROVIDER, and what `sendToProvider` throws
 */
export async function initiatedLoginRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  const { provider: name } = request.params as { provider?: string }
  const provider = providerOfIssuer(context, field(request, 'iss'), name)
  const hint = field(request, 'login_hint')
  const params = {
    ...forwardedParams(request, provider),
    ...(hint !== undefined && hint.length <= MAX_HINT && { login_hint: hint })
  }
  const target = field(request, 'target_link_uri') ?? field(request, 'returnTo')
  const returnTo = readReturnTo(request, target, context.config.baseUrl())
  const options: LoginOptions = { params, ...(returnTo !== undefined && { returnTo }) }
  return await sendToProvider(context, request, reply, provider, options)
}

function providerOfIssuer (
  context: PluginContext, issuer: string | undefined, name: string | undefined
): ProviderClient {
  const isDefault = (provider: ProviderClient) => provider.name === context.config.defaultProvider
  const candidates = name === undefined
    // Of two clients at one provider the default one is meant.
    ? [...context.providers.values()].sort((one, other) => Number(isDefault(other)) - Number(isDefault(one)))
    : [visitorsProvider(context, name)]
  const found = candidates.find(provider => hasIssuer(provider, issuer))
  if (found !== undefined) return found
  // The message does not list the issuers: visitors can cause it.
  const of = name === undefined ? '' : ` of provider "${name}"`
  throw new UnknownProviderError(`a login was asked for at an issuer that is not one${of} here`, { provider: name })
}

function hasIssuer ({ config, knownMetadata }: ProviderClient, issuer: string | undefined): boolean {
  const { grantType, idTokenIssuer } = config
  if (issuer === undefined || (grantType !== 'authorization_code' && grantType !== 'implicit')) return false
  const names = [config.issuer, config.issuer === undefined ? undefined : knownMetadata?.issuer]
  return [...names, typeof idTokenIssuer === 'function' ? [] : idTokenIssuer].flat().includes(issuer)
}
