// Corner Bakery: a board of orders that shows fastify-oauth-session at work.
//
// npm start              the board, with an OpenID provider and an API of its own; log in as alice or bob npm start --
// --demo    the same in the terminal, without a browser: login, call, expiry, refresh, logout
//
// Environment variables:
//
// PORT             port of the board (3000; a free one where 3000 is taken; 0 for a free one) HOST             address
// that the board listens on (localhost). The embedded provider and API are on 127.0.0.1 BASE_URL         public address
// of the board, where that is another (http://localhost:PORT). With https the board
//                    expects a proxy in front of it, on this machine or in its private network
// SESSION_SECRET   signs the session cookie, 32 characters at least (made up at each start)
//
// With a provider of your own instead of the embedded one:
//
// ISSUER           its issuer URL, exactly as it writes it; the endpoints are discovered there CLIENT_ID        what it
// knows the board by. Register BASE_URL/login/bakery/callback as the redirect URI there, and
//                    BASE_URL/logout/callback as the post-logout redirect URI
// CLIENT_SECRET    (none: a public client, with PKCE alone) SCOPE            what to ask for (openid profile email
// offline_access). Some do not know `offline_access` API_URL          an API that takes its tokens and answers as
// api.ts does. Without one there are no orders: the board
//                    calls the provider's userinfo endpoint, and says so
import { accounts } from './accounts.ts'
import { runDemo } from './demo.ts'
import { defaultPort, readSettings } from './settings.ts'
import { start, type Running, type StartOptions } from './start.ts'

try {
  await (process.argv.includes('--demo') ? runDemo(console.log) : openBoard(readSettings(process.env)))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

async function openBoard (settings: StartOptions): Promise<void> {
  const board = await startOnFreePort(settings)
  console.log(settings.external ? aboutExternal(board) : aboutEmbedded(board))

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      console.log('\nClosing the bakery.')
      board.close().catch((error) => {
        console.error(error)
        process.exitCode = 1
      })
    })
  }
}

/** Where the port was not chosen but is the usual one, and taken, another will do. */
async function startOnFreePort (settings: StartOptions): Promise<Running> {
  try {
    return await start(settings)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (process.env.PORT) throw new Error(`Port ${settings.port} is taken. Choose another PORT, or 0 for a free one.`)
    console.log(`Port ${defaultPort} is taken, so here is a free one. (PORT chooses one.)\n`)
    return await start({ ...settings, port: 0 })
  }
}

function aboutEmbedded ({ appUrl, providerUrl, apiUrl }: Running): string {
  return `Corner Bakery is open:   ${appUrl}

  Log in as   ${accounts.map(({ username, password }) => `${username} / ${password}`).join('   or   ')}

  The provider   ${providerUrl}   (access tokens live for 30 seconds, refresh tokens rotate)
  The API        ${apiUrl}
  Sessions are in memory: a restart logs everybody out. Ctrl+C closes the bakery.
`
}

function aboutExternal ({ appUrl, providerUrl, apiUrl }: Running): string {
  return `Corner Bakery is open:   ${appUrl}

  Log in at        ${providerUrl}
  Register there   ${appUrl}/login/bakery/callback   as the redirect URI
                   ${appUrl}/logout/callback   as the post-logout redirect URI
  The API          ${apiUrl ?? 'none (API_URL is not set): the board shows what userinfo says about you'}
  Sessions are in memory: a restart logs everybody out. Ctrl+C closes the bakery.
`
}
