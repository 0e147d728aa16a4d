/** Standard output cannot be written. `quiet`: its reader closed it. */
export class OutputError extends Error {
  override name = 'OutputError';
  readonly quiet: boolean;

  constructor(cause: NodeJS.ErrnoException) {
    super(`standard output cannot be written: ${cause.message}`, { cause });
    this.quiet = cause.code === 'EPIPE';
  }
}

// Without these handlers a failed write would end the process with a stack. Nobody can be told of a failure of standard
// error.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

/** Writes to standard output. Rejects with OutputError, so that work for a reader who has gone stops. */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(new OutputError(error)) : resolve()));
  });
}
