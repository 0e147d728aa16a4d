import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadBundle } from '../../../shared/bundle/load.ts';
import type { Manifest } from '../../../shared/bundle/manifest.ts';
import { makeTinyBundle } from '../../support/tiny-bundle.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests put anything into it
type Loose = any;

async function failureOf(change: (manifest: Loose) => void): Promise<string> {
  const extend = (manifest: Manifest) => change(manifest);
  await using bundle = await makeTinyBundle({ extend });
  return loadBundle(bundle.directory).then(
    () => 'accepted',
    (error: Error) => error.message,
  );
}

describe('manifest v2: a mistake is refused with the name of the field', () => {
  test.each<[string, (manifest: Loose) => void, string]>([
    [
      'an unknown kind of strategy',
      ({ strategies }) => Object.assign(strategies, { split: { kind: 'split-and-prune' } }),
      "strategies.split.kind: 'split-and-prune' is none of cascade, edge-only, always-expert",
    ],
    [
      'a kind that is a name of every object',
      ({ strategies }) => Object.assign(strategies, { odd: { kind: 'constructor' } }),
      "strategies.odd.kind: 'constructor' is none of",
    ],
    [
      'a model without declared inputs',
      ({ models }) => Object.assign(models.warm, { inputs: {} }),
      'models.warm.inputs: declares no input',
    ],
    ['a model without inputs', ({ models }) => delete models.warm.inputs, 'models.warm.inputs'],
    [
      'a model without declared outputs',
      ({ models }) => Object.assign(models.warm, { outputs: {} }),
      'models.warm.outputs: declares no output',
    ],
    [
      'settings of another strategy',
      ({ strategies }) => Object.assign(strategies.edge, { generalist: { model: 'generalist' } }),
      'strategies.edge: Unrecognized key: "generalist"',
    ],
    [
      'a strategy of a cascade that is not there',
      ({ strategies }) => Object.assign(strategies.edge, { of: 'nobody' }),
      "strategies.edge.of: there is no strategy 'nobody' of kind cascade",
    ],
    [
      'an unknown field of a model',
      ({ models }) => Object.assign(models.warm, { colour: 'blue' }),
      'models.warm: Unrecognized key: "colour"',
    ],
    ['an unknown field', (manifest) => Object.assign(manifest, { note: 'x' }), '(root): Unrecognized key: "note"'],
    [
      'a threshold that is no finite number',
      ({ strategies }) => Object.assign(strategies.ask.gate, { threshold: 'high' }),
      'strategies.ask.gate.threshold',
    ],
    [
      'an input of a type that no tensor has',
      ({ models }) => Object.assign(models.warm.inputs.pixels, { type: 'float64' }),
      'models.warm.inputs.pixels.type',
    ],
    [
      'a picture for an input of another shape',
      ({ models }) => Object.assign(models.warm.inputs.pixels, { shape: ['batch', 8, 8] }),
      'models.warm.inputs.pixels: a picture of this side becomes uint8 [batch, 8, 8, 3]',
    ],
    [
      'a range of values that is not supported',
      ({ models }) => Object.assign(models.warm.inputs.pixels.picture, { range: [16, 235] }),
      'models.warm.inputs.pixels.picture.range.0',
    ],
    [
      'an input that cannot travel by its name',
      ({ models }) => Object.assign(models.warm.inputs, { 'a b': { type: 'uint8', shape: [1] } }),
      'models.warm.inputs.a b',
    ],
    [
      'a free dimension without bounds',
      ({ models }) => Object.assign(models.warm.inputs, { tokens: { type: 'uint8', shape: ['batch', 'tokens'] } }),
      "models.warm.inputs.tokens: the free dimension 'tokens' has no bounds in 'free'",
    ],
    [
      'a model with a name of every object',
      ({ strategies }) => Object.assign(strategies.ask.generalist, { model: 'constructor' }),
      "strategies.ask.generalist.model: there is no model 'constructor'",
    ],
    [
      'a model that is not there',
      ({ strategies }) => Object.assign(strategies.ask.generalist, { model: 'nobody' }),
      "strategies.ask.generalist.model: there is no model 'nobody'",
    ],
  ])('%s', async (_, change, message) => {
    expect(await failureOf(change)).toContain(message);
  });

  test('two strategies of one name', async () => {
    await using bundle = await makeTinyBundle();
    const twice = '{ "schemaVersion": 2, "strategies": { "ask": { "kind": "a" }, "ask": { "kind": "b" } } }';
    await writeFile(join(bundle.directory, 'manifest.json'), twice);
    await expect(loadBundle(bundle.directory)).rejects.toThrow("'ask' stands twice in one object");
  });

  test('a newer version, by its number', async () => {
    expect(await failureOf((manifest) => Object.assign(manifest, { schemaVersion: 3 }))).toContain(
      'has schemaVersion 3, this program reads up to 2: use a newer one',
    );
  });
});

describe('manifest v2: what is accepted', () => {
  test('names as graphs have them', async () => {
    const change = ({ models }: Loose) =>
      Object.assign(models.warm.outputs, { '/blocks.5/Add_1_output_0': { type: 'float32', shape: ['batch', 4] } });
    expect(await failureOf(change)).toBe('accepted');
  });

  test('strategies of unknown kinds, by whoever only hosts models', async () => {
    await using bundle = await makeTinyBundle({
      extend: ({ strategies }: Loose) => Object.assign(strategies, { split: { kind: 'split-and-prune', at: 6 } }),
    });
    const { there } = await loadBundle(bundle.directory, undefined, undefined, true);
    expect(there).toEqual(['warm', 'cold']);
    await expect(loadBundle(bundle.directory)).rejects.toThrow("'split-and-prune' is none of");
  });

  test('anything under extra and provenance', async () => {
    const change = (manifest: Loose) => {
      Object.assign(manifest, { extra: { colour: 'blue' }, provenance: { by: { whom: ['x'] } } });
      Object.assign(manifest.models.warm, { extra: { cut: 6 } });
    };
    expect(await failureOf(change)).toBe('accepted');
  });

  test('a threshold of any finite number, with its direction', async () => {
    const change = ({ strategies }: Loose) =>
      Object.assign(strategies.ask.gate, { threshold: -17.5, escalates: 'above' });
    expect(await failureOf(change)).toBe('accepted');
  });

  test('every model with its own side, fit and kernel', async () => {
    await using bundle = await makeTinyBundle({
      extend({ models }: Loose) {
        const { pixels } = models.warm.inputs;
        Object.assign(pixels, { shape: ['batch', 16, 16, 3] });
        Object.assign(pixels.picture, { side: 16, fit: 'contain', kernel: 'cubic' });
      },
    });
    const { manifest } = await loadBundle(bundle.directory);
    const side = (id: string) => manifest.models[id]?.inputs.pixels?.picture?.side;
    expect([side('generalist'), side('warm')]).toEqual([8, 16]);
  });
});
