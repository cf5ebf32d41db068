// Corner Bakery: a board of orders that shows fastify-oauth-session at work. Read app.ts first, which registers the
// plugin, and board-api.ts, which calls an API as the user who is logged in. The other files are the world around them.
//
//   npm start              the board, with a provider and an API of its own; log in as alice or bob
//   npm start -- --demo    the same in the terminal, without a browser: login, call, expiry, refresh, logout
//
// Environment variables:
//
//   PORT             port of the board: 3000, or a free one where 3000 is taken; 0 for a free one
//   HOST             address that the board listens on: localhost. The embedded provider and API are on 127.0.0.1
//   BASE_URL         public address of the board, where that is not http://localhost:PORT. With https the board expects
//                    a proxy in front of it, on this machine or in its private network
//   SESSION_SECRET   signs the session cookie: at least 32 characters, random at each start
//
// With a provider of your own instead of the embedded one:
//
//   ISSUER           its issuer URL, exactly as the provider writes it; the endpoints are discovered there
//   CLIENT_ID        the client id of the board. Register BASE_URL/login/bakery/callback as its redirect URI, and
//                    BASE_URL/logout/callback as its post-logout redirect URI; and where it has back-channel logout,
//                    BASE_URL/login/bakery/backchannel-logout
//   CLIENT_SECRET    none for a public client, which has PKCE alone
//   SCOPE            scopes to ask for: openid profile email offline_access. Some providers refuse offline_access
//   API_URL          an API that accepts the provider's tokens and responds as orders-api.ts does. Without one the
//                    board shows no orders, but the response of the userinfo endpoint
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

/** Starts on a free port where the default one is taken; a PORT that was chosen and is taken is an error. */
async function startOnFreePort (settings: StartOptions): Promise<Running> {
  try {
    return await start(settings)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (process.env.PORT) throw new Error(`Port ${settings.port} is taken. Choose another PORT, or 0 for a free one.`)
    console.log(`Port ${defaultPort} is taken; this is a free one. PORT chooses another.\n`)
    return await start({ ...settings, port: 0 })
  }
}

function aboutEmbedded ({ appUrl, providerUrl, apiUrl }: Running): string {
  return `Corner Bakery is open:   ${appUrl}

  Log in as   ${accounts.map(({ username, password }) => `${username} / ${password}`).join('   or   ')}

  The provider   ${providerUrl}   (access tokens live 30 seconds, refresh tokens rotate)
  The API        ${apiUrl}
  Sessions are in memory: a restart logs all users out. Ctrl+C closes the bakery.
`
}

function aboutExternal ({ appUrl, providerUrl, apiUrl }: Running): string {
  return `Corner Bakery is open:   ${appUrl}

  Log in at        ${providerUrl}
  Register there   ${appUrl}/login/bakery/callback   as the redirect URI
                   ${appUrl}/logout/callback   as the post-logout redirect URI
                   ${appUrl}/login/bakery/backchannel-logout   for back-channel logout, where it has that
  The API          ${apiUrl ?? 'none (API_URL is not set): the board shows your userinfo'}
  Sessions are in memory: a restart logs all users out. Ctrl+C closes the bakery.
`
}
