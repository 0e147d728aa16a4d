import type { Manifest } from '../../shared/bundle/manifest.ts';
import type { WriteFile } from './tiny-bundle.ts';
import { buildTinyOnnx } from './tiny-onnx.ts';

/** The side of what the expert `warm` takes in such a bundle: twice the generalist's. `cold` stays as it is. */
export const LARGE = 16;

export async function enlargeWarm({ models }: Manifest, write: WriteFile): Promise<void> {
  const rows = [0, 0, 0, 9].map((bias): [number, number, number, number] => [0, 0, 0, bias]);
  const { warm } = models;
  if (warm === undefined) throw new Error('no model warm');
  Object.assign(warm, await write('warm.onnx', buildTinyOnnx(LARGE, { rows })));
  Object.assign(warm.inputs.pixels as object, { shape: ['batch', LARGE, LARGE, 3] });
  Object.assign(warm.inputs.pixels?.picture as object, { side: LARGE, fit: 'contain' });
}
