const SAMPLES = 64;
const ENOUGH = 20;
const PATIENCE_MS = 1000; // long enough for any expert
const UNKNOWN_MS = 250; // enough for an expert whose speed is not known yet
const MIN_MS = 100;

/** Round trips of an expert's last answers. */
export class RoundTrips {
  readonly #samples: number[] = [];
  #oldest = 0;

  add(roundTripMs: number): void {
    this.#samples[this.#oldest] = roundTripMs;
    this.#oldest = (this.#oldest + 1) % SAMPLES;
  }

  /** 95th percentile, once there are enough of them. */
  get p95Ms(): number | undefined {
    if (this.#samples.length < ENOUGH) return undefined;
    const sorted = this.#samples.toSorted((a, b) => a - b);
    return sorted[Math.floor(0.95 * sorted.length)];
  }

  /**
   * Whether `waitedMs` was long enough to blame an expert that did not answer. Callers in a hurry are not its fault.
   */
  isFair(waitedMs: number): boolean {
    const usual = this.p95Ms;
    return waitedMs >= (usual === undefined ? UNKNOWN_MS : Math.min(PATIENCE_MS, Math.max(MIN_MS, 3 * usual)));
  }
}
