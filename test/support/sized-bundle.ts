import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManifestV1, ModelEntryV1 } from '../../shared/bundle/manifest-v1.ts';
import { buildTinyOnnx, type TinyModel } from './tiny-onnx.ts';

const SIZE = 32;

/**
 * Writes a bundle of so many classes and experts into a folder, with models that cost next to nothing: what is left of
 * an answer's time is the service's own. Class c belongs to expert c modulo the number of experts.
 */
export async function writeSizedBundle(directory: string, classes: number, experts: number): Promise<void> {
  const model: TinyModel = {
    rows: Array.from({ length: classes }, (_, c) => [Math.sin(c) / 100, Math.cos(c) / 100, Math.sin(3 * c) / 100, 0]),
  };
  const bytes = buildTinyOnnx(SIZE, model);
  await writeFile(join(directory, 'model.onnx'), bytes);
  const ids = Array.from({ length: experts }, (_, i) => `expert-${i + 1}`);
  const owner = (label: number) => ids[label % experts] as string;
  const labels = Array.from({ length: classes }, (_, label) => label);
  const entry = (id: string, owned: number[]): ModelEntryV1 => ({
    id,
    file: 'model.onnx',
    sha256: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.length,
    inputSize: SIZE,
    mean: [0, 0, 0],
    std: [1, 1, 1],
    outputs: { logits: classes },
    classes: owned,
    temperature: 1,
    precision: 'float32',
    parameters: 4 * classes,
    figures: {},
  });
  const manifest: ManifestV1 = {
    schemaVersion: 1,
    name: `${classes} classes, ${experts} experts`,
    labels: labels.map((label) => `class ${label}`),
    input: { size: SIZE, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] },
    generalist: entry('generalist', labels),
    experts: ids.map((id) =>
      entry(
        id,
        labels.filter((label) => owner(label) === id),
      ),
    ),
    routing: {
      k: 3,
      scoring: { method: 'top-k-mass' },
      metric: 'max-probability',
      threshold: 0.9,
      classToExpert: labels.map(owner),
      merge: { method: 'log-linear', generalistWeight: 0.5, expertWeight: 0.5 },
      encoding: { format: 'rgb8' },
    },
    provenance: { made: 'to measure the service' },
  };
  await writeFile(join(directory, 'manifest.json'), JSON.stringify(manifest));
}
