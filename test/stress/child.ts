// What the driver's child processes run: `child.js provider|worker <options as JSON>`. Each loads its own role alone.

const [role, options = ''] = process.argv.slice(2)
// A driver that is gone, however it went, takes its processes along.
process.on('disconnect', () => process.exit(0))
if (role === 'provider') await (await import('./provider.ts')).runProvider(JSON.parse(options))
if (role === 'worker') await (await import('./worker.ts')).runWorker(JSON.parse(options))

export {}
