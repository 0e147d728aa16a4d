/** Standard output takes no more; `quiet`: its reader had enough. */
export class OutputError extends Error {
  override name = 'OutputError';
  readonly quiet: boolean;

  constructor(cause: NodeJS.ErrnoException) {
    super(`standard output cannot be written: ${cause.message}`, { cause });
    this.quiet = cause.code === 'EPIPE';
  }
}

// Without these a failed write would end the process with a stack. That of standard error can be told to nobody.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

/** Writes to standard output. Rejects with OutputError, so that work for nobody stops. */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(new OutputError(error)) : resolve()));
  });
}
