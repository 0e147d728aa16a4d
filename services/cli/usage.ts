/** The command line makes no sense; the message says why. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** What the command line names cannot be used: files that are missing, a service that does not answer. */
export class InputError extends Error {
  override name = 'InputError';
}
