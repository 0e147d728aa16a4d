import { z } from 'zod';

/** Field types that several parts of a manifest share. */
export const share = z.number().min(0).max(1);
export const id = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower-case letters, digits and hyphens');
export const classes = z.array(z.number().int().min(0)).min(1);
export const file = z.string().regex(/^[A-Za-z0-9._-]+$/, 'must be a file name without a folder');
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');

/** Adds a mistake at a path of the manifest. */
export type Complain = (path: (string | number)[], message: string) => void;
