/** The command line is wrong; the message says why. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Something that the command line names cannot be used: a missing file, a service that does not answer. */
export class InputError extends Error {
  override name = 'InputError';
}
