/** The command was not written as it has to be. */
export class UsageError extends Error {}
