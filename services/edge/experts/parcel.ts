import { elapsed, unlessAborted } from '../../../shared/request/deadline.ts';
import type { Payload } from './payload.ts';
import type { RequestContext } from './request-context.ts';

/** What a question is about, as it travels: made when it is first needed, for whoever is asked. */
export interface Parcel {
  /** Null if it cannot be made. Rejects only when the caller has gone. */
  open(): Promise<Payload | null>;
  /** Time it took. */
  readonly encodeMs: number;
}

/** A parcel that `pack` makes once, within the deadline. */
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
