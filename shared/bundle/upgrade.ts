import { BATCH } from '../wire/tensor.ts';
import type { Manifest } from './manifest.ts';
import type { ManifestV1, ModelEntryV1 } from './manifest-v1.ts';
import type { ModelEntry } from './model.ts';

/** Converts a manifest of version 1 to version 2, with the same meaning. */
export function upgrade(old: ManifestV1): Manifest {
  const { k, scoring, metric, threshold, classToExpert, merge, encoding } = old.routing;
  const cascade = {
    kind: 'cascade',
    generalist: { model: old.generalist.id, temperature: old.generalist.temperature },
    experts: old.experts.map(({ id, classes, temperature }) => ({ model: id, classes, temperature })),
    gate: { measure: metric, escalates: 'below', threshold },
    routing: { k, scoring, classToExpert, merge, encoding },
    ...(old.calibration && { calibration: old.calibration }),
    ...(old.encodings && { encodings: old.encodings }),
  };
  return {
    schemaVersion: 2,
    name: old.name,
    labels: old.labels,
    models: Object.fromEntries(
      [old.generalist, ...old.experts].map((model) => [model.id, upgradeModel(model, old.input)]),
    ),
    strategies: {
      ask: cascade,
      edge: { kind: 'edge-only', of: 'ask' },
      expert: { kind: 'always-expert', of: 'ask' },
    },
    ...(old.golden && { golden: old.golden }),
    provenance: old.provenance,
  };
}

function upgradeModel(model: ModelEntryV1, input: ManifestV1['input']): ModelEntry {
  const { file, sha256, bytes, precision, parameters, figures, inputSize, mean, std } = model;
  const { size: side, ...rule } = input;
  const picture = { side, ...rule, range: [0, 255] as [0, 255], networkSide: inputSize, mean, std };
  return {
    file,
    sha256,
    bytes,
    inputs: { pixels: { type: 'uint8', shape: [BATCH, side, side, 3], picture } },
    outputs: Object.fromEntries(
      Object.entries(model.outputs).map(([name, length]) => [name, { type: 'float32', shape: [BATCH, length] }]),
    ),
    precision,
    parameters,
    figures,
  };
}
