// oidc-provider warns, while it is being imported, that it wants Node 22. It runs well on 20, and no option turns this
// one off; everything else that it prints is a default which provider-configuration.ts replaces.
const { warn } = console
console.warn = (...args: unknown[]) => {
  if (!String(args[0]).includes('oidc-provider WARNING: Unsupported runtime')) warn(...args)
}

export const { Provider } = await import('oidc-provider')

console.warn = warn
