/** Waiting items, the earliest deadline first; among equal deadlines, first come first. */
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

  /** Removes and returns the first item that fits; undefined: none does. */
  take(fits: (item: T) => boolean): T | undefined {
    const at = this.#items.findIndex(fits);
    return at < 0 ? undefined : this.#items.splice(at, 1)[0];
  }

  /** Does nothing if it is no longer there. */
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
