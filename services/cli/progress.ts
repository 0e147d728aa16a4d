const FIRST_MS = 1000;
const REDRAW_MS = 200;
const LINE_MS = 10_000;

/** Progress of a long command. */
export interface Progress extends Disposable {
  step(): void;
  /** Clears the line, so that a result can be printed to the same terminal. */
  hide(): void;
}

/**
 * Prints `12 of 300 pictures` on standard error once the command has taken a second: on a terminal in one line that is
 * redrawn, elsewhere in a new line from time to time.
 */
export function showProgress(total: number, what: string): Progress {
  const terminal = process.stderr.isTTY;
  let done = 0;
  let drawn = false;
  const text = () => `${done} of ${total} ${what}`;
  const draw = () => {
    process.stderr.write(terminal ? `\r${text()}\x1b[K` : `${text()}\n`);
    drawn = terminal;
  };
  const hide = () => {
    if (drawn) process.stderr.write('\r\x1b[K');
    drawn = false;
  };
  let timer = setTimeout(() => {
    draw();
    timer = setInterval(draw, terminal ? REDRAW_MS : LINE_MS);
    timer.unref();
  }, FIRST_MS);
  timer.unref();
  return {
    step: () => {
      done += 1;
    },
    hide,
    [Symbol.dispose]() {
      clearTimeout(timer);
      hide();
    },
  };
}
