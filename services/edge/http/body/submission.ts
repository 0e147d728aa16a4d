import type { RawImage } from '../../../../shared/wire/picture.ts';

/** What a request brings. */
export interface Submission {
  picture: Uint8Array | RawImage;
  /** What a form or JSON says beside the picture; of the form, only options. */
  fields: Record<string, unknown>;
}
