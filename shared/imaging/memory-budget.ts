/** A weighted semaphore, first come, first served: work waits in line until its amount is free. */
export class Budget {
  #free: number;
  readonly #line: { amount: number; start: () => void }[] = [];

  constructor(total: number) {
    this.#free = total;
  }

  /**
   * Runs `work` while holding `amount`, at most the total. If the signal aborts first, rejects with its reason: then
   * the work never runs and leaves the line.
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
