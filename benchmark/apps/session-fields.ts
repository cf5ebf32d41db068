/** Fields of the session that several contestants have. */
declare module 'fastify' {
  interface Session {
    /** Who is logged in. */
    sub?: string
    /** A pending login. */
    pending?: { state: string, nonce: string, verifier: string }
  }
}

export {}
