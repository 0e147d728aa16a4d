/** Waiting items, the one due first at the front; of those due at the same time the one that came first. */
export class DueQueue<T extends { due: number }> {
  readonly #items: T[] = [];

  get length(): number {
    return this.#items.length;
  }

  add(item: T): void {
    let at = this.#items.length;
    while (at > 0 && (this.#items[at - 1] as T).due > item.due) at -= 1;
    this.#items.splice(at, 0, item);
  }

  /** Takes out the first that fits, if there is one. */
  take(fits: (item: T) => boolean): T | undefined {
    const at = this.#items.findIndex(fits);
    return at < 0 ? undefined : this.#items.splice(at, 1)[0];
  }

  /** Does nothing if it is not there any more. */
  remove(item: T): void {
    const at = this.#items.indexOf(item);
    if (at >= 0) this.#items.splice(at, 1);
  }

  takeAll(): T[] {
    return this.#items.splice(0);
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]();
  }
}
