import { elapsed, unlessAborted } from '../../../shared/request/deadline.ts';
import type { Payload } from './payload.ts';
import type { RequestContext } from './request-context.ts';

/** A payload that is encoded when it is first needed, and once for all who are asked. */
export interface Parcel {
  /** Null if it cannot be encoded. Rejects only when the caller has gone. */
  open(): Promise<Payload | null>;
  /** Time that encoding took. */
  readonly encodeMs: number;
}

/** `pack` is called at most once, within the deadline. */
export function createParcel(pack: () => Promise<Payload>, { deadline, caller }: RequestContext): Parcel {
  let made: Promise<Payload | null> | undefined;
  let encodeMs = 0;
  const make = async () => {
    const begun = performance.now();
    try {
      return await unlessAborted(deadline.signal, pack());
    } catch {
      caller.throwIfAborted();
      return null;
    } finally {
      encodeMs = elapsed(begun);
    }
  };
  return {
    open: () => {
      made ??= make();
      return made;
    },
    get encodeMs() {
      return encodeMs;
    },
  };
}
