import fc from 'fast-check';
import { afterAll, test } from 'vitest';

/**
 * How many cases run, over all files: `FUZZ_CASES`. A failure prints its seed and path; `FUZZ_SEED` and `FUZZ_PATH`
 * (with the same file) replay it.
 */
const total = Number(process.env.FUZZ_CASES ?? 3200);
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 0x7fffffff);
const path = process.env.FUZZ_PATH ?? '';

/** Of all cases, by what they attack; together 1. */
const shares = {
  images: 0.5,
  forms: 0.08,
  json: 0.06,
  requests: 0.08,
  smuggling: 0.04,
  expert: 0.12,
  replies: 0.1,
  directory: 0.02,
};

const BATCH = 8;
const LIMIT_MS = 1_800_000;

/** What a batch of cases must leave as it was. */
export interface Watched {
  /** A process has ended or grown too much: no further case can say anything. */
  readonly spoilt: boolean;
  /** Throws if a process ended, logged an error, or grew too much. */
  inspect(): Promise<void>;
  /** What to tell of it at the end. */
  summary(): string;
}

/** A test of a share of the cases, `batch` of them at a time side by side, with an inspection after each batch. */
export function fuzz<T>(
  title: string,
  share: keyof typeof shares,
  arbitrary: fc.Arbitrary<T>,
  watched: () => Watched,
  attack: (one: T) => Promise<void>,
  batch = BATCH,
): void {
  const runs = Math.ceil((total * shares[share]) / batch);
  let done = 0;
  test(
    `fuzz ${share}: ${title}: ${runs * batch} cases, seed ${seed}`,
    async () => {
      const property = fc.asyncProperty(fc.array(arbitrary, { minLength: batch, maxLength: batch }), async (inputs) => {
        fc.pre(!watched().spoilt);
        done += batch;
        const outcomes = await Promise.allSettled(inputs.map(attack));
        const at = outcomes.findIndex(({ status }) => status === 'rejected');
        if (at >= 0) throw new Error(describe(inputs[at]), { cause: (outcomes[at] as PromiseRejectedResult).reason });
        await watched().inspect();
      });
      const { failed, errorInstance, counterexamplePath } = await fc.check(property, { numRuns: runs, seed, path });
      if (!failed) return;
      const replay = `FUZZ_SEED=${seed} FUZZ_PATH=${counterexamplePath}`;
      const error = errorInstance as Error;
      throw new Error(`${replay}: ${error.message}`, { cause: error.cause ?? error });
    },
    LIMIT_MS,
  );
  afterAll(() => {
    console.log(`${share}: ${done} cases, seed ${seed}; ${watched().summary()}`);
  });
}

/** A case as JSON, cut where it is long. */
function describe(input: unknown): string {
  const cut = (text: string, length: number) => {
    return text.length > length ? `${text.slice(0, length)}... (${text.length} characters)` : text;
  };
  return cut(
    JSON.stringify(input, (_, value) => (typeof value === 'string' ? cut(value, 100) : value)),
    3000,
  );
}
