/** A store as @fastify/session and express-session know it. */
export interface SessionStore {
  get (id: string, callback: (error: unknown, session?: unknown) => void): void
  set (id: string, session: unknown, callback: (error?: unknown) => void): void
  destroy (id: string, callback: (error?: unknown) => void): void
  touch? (id: string, session: unknown, callback: (error?: unknown) => void): void
}

/** Begins the ids of what the plugin keeps in the session store. */
export const ENTRY_PREFIX = 'oauth:'
/** Begins the ids of pending logins, which anyone can start: they are capped if nothing else ends them. */
export const PENDING_PREFIX = 'login:'
/** Pending logins that are kept there; one more drops the oldest. */
export const MAX_PENDING = 10_000
/** A member that tells the plugin's entries from sessions, whatever members the app's sessions have. */
export const ENTRY = 'oauth:entry'

/** Under this, a guarded store keeps its own methods. */
export const kUnguarded = Symbol.for('fastify-oauth-session.unguarded')

/** Whether an id is one of the plugin's entries, and no session's. */
export const isEntryId = (id: unknown): boolean => String(id).startsWith(ENTRY_PREFIX)

/** Whether a value of the session store is an entry of the plugin, and no session. */
export function isEntry (value: unknown): boolean {
  return typeof value === 'object' && value !== null && ENTRY in value
}

/** Tells @fastify/session's own in-memory store, which never fails and never waits. */
export function isMemoryStore (store: object): store is { store: Map<string, unknown> } {
  const { constructor } = store as { constructor: { MemoryStore?: unknown } }
  // The class names itself; a class of the app's own that extends it does not keep what it is given, perhaps.
  return (store as { store?: unknown }).store instanceof Map && constructor.MemoryStore === constructor
}

/** The store as it was before it was guarded: for what the plugin itself keeps in it. */
export function unguardedSessionStore (store: SessionStore): SessionStore {
  return (store as { [kUnguarded]?: SessionStore })[kUnguarded] ?? store
}
