import type { Pixels } from '../../../../shared/wire/picture.ts';

/** What a request submits. */
export interface Submission {
  picture: Uint8Array | Pixels;
  /** The other fields of a form or of JSON; of a form, only options. */
  fields: Record<string, unknown>;
}
