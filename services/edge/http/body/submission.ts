import type { Pixels } from '../../../../shared/wire/picture.ts';

/** What a request brings. */
export interface Submission {
  picture: Uint8Array | Pixels;
  /** What a form or JSON says beside the picture; of the form, only options. */
  fields: Record<string, unknown>;
}
