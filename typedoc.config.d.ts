declare const config: { entryPoints: string[] }
export default config
