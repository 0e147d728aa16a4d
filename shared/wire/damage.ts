/** What may be wrong with a picture that is decoded nevertheless. */
export const damages = ['cut-short', 'spliced', 'unreadable-data'] as const;
export type Damage = (typeof damages)[number];
