/**
 * Options that every plugin may get: from Fastify's `register`, from avvio (`name`), and from fastify-cli with
 * --options and @fastify/autoload, which pass on the options of the server.
 */
export const PASSED_ALONG = new Set([
  'logLevel',
  'logSerializers',
  'name',
  'skipOverride',
  'ajv',
  'allowErrorHandlerOverride',
  'allowUnsafeRegex',
  'bodyLimit',
  'caseSensitive',
  'childLoggerFactory',
  'clientErrorHandler',
  'connectionTimeout',
  'constraints',
  'disableRequestLogging',
  'exposeHeadRoutes',
  'forceCloseConnections',
  'frameworkErrors',
  'genReqId',
  'handlerTimeout',
  'http',
  'http2',
  'http2SessionTimeout',
  'https',
  'ignoreDuplicateSlashes',
  'ignoreTrailingSlash',
  'jsonShorthand',
  'keepAliveTimeout',
  'logController',
  'logger',
  'loggerInstance',
  'maxParamLength',
  'maxRequestsPerSocket',
  'onConstructorPoisoning',
  'onProtoPoisoning',
  'pluginTimeout',
  'querystringParser',
  'requestIdHeader',
  'requestIdLogLabel',
  'requestTimeout',
  'return503OnClosing',
  'rewriteUrl',
  'routerOptions',
  'schemaController',
  'schemaErrorFormatter',
  'serializerOpts',
  'serverFactory',
  'trustProxy',
  'useSemicolonDelimiter'
])

/** The names of options that are not the plugin's and that every plugin may get. */
export function passedAlong (options: object | undefined): string[] {
  return Object.keys(options ?? {}).filter(name => PASSED_ALONG.has(name))
}
