/** An amount of something scarce that pieces of work share: each waits in line until its part of it is free. */
export class Budget {
  #free: number;
  readonly #line: { amount: number; start: () => void }[] = [];

  constructor(total: number) {
    this.#free = total;
  }

  /**
   * Runs `work` holding `amount`, at most the total. Rejects with the signal's reason if that aborts first: then it
   * never runs, and nothing of it stays in the line.
   */
  async use<T>(amount: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    await this.#wait(amount, signal);
    try {
      return await work();
    } finally {
      this.#free += amount;
      this.#serve();
    }
  }

  #wait(amount: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const place = {
        amount,
        start: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      const leave = () => {
        this.#line.splice(this.#line.indexOf(place), 1);
        reject(signal.reason);
        this.#serve();
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#line.push(place);
      this.#serve();
    });
  }

  #serve(): void {
    for (let next = this.#line[0]; next && next.amount <= this.#free; next = this.#line[0]) {
      this.#line.shift();
      this.#free -= next.amount;
      next.start();
    }
  }
}
