import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Manifest } from '../../shared/bundle/manifest.ts';
import { softmax } from '../../shared/policy/probabilities.ts';
import { decimal } from '../../shared/settings/decimal.ts';
import { buses } from '../support/buses.ts';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { addThreeVoices, COLOUR, threeVoices, tokenWeights } from '../support/three-voices.ts';
import { flatPng, LABELS, type WriteFile } from '../support/tiny-bundle.ts';

const system = { extend: addThreeVoices, strategies: [threeVoices] };

/** What the three models say of the colour, worked out by hand. */
function expected(scale: number): number[] {
  const [r, g, b] = COLOUR;
  const here = [0.1 * r - 0.05 * (g + b), 0.1 * g - 0.05 * (r + b), 0.1 * b - 0.05 * (r + g), 0.1];
  const tokens = tokenWeights.map(
    (row) => scale * row.reduce((sum, weight, i) => sum + weight * (COLOUR[i] as number), 0),
  );
  const voices = [here, tokens, [0, 0, 0, 9]].map((logits) => softmax(logits, 1));
  return LABELS.map((_, i) => voices.reduce((sum, voice) => sum + (voice[i] as number), 0) / 3);
}

describe('strategy from outside: two tensors to one model, the picture to another, three answers merged', () => {
  test.each(buses)('over %s', async (_, open) => {
    await using running = await startTinySystem({ ...system, open });
    const picture = await flatPng(COLOUR);
    for (const scale of [1, 4]) {
      const { status, body } = await postImage(running.url, picture, `?strategy=voices&scale=${scale}`);
      expect([status, body.route, body.degraded]).toEqual([200, 'expert', null]);
      const byIndex = Object.fromEntries(body.topK.map(({ index, confidence }: Ranked) => [index, confidence]));
      expected(scale).forEach((value, i) => void expect(byIndex[i]).toBeCloseTo(value, 2));
      expect(body.decision).toMatchObject({ strategy: 'voices', scale, reason: 'all-are-asked' });
      expect(body.hops.map(({ to, encoding }: Hop) => [to, encoding])).toEqual([
        ['tokens', 'tensors'],
        ['warm', 'original'],
      ]);
      expect(body.bytesSent).toBe(body.hops[0].bytes + body.hops[1].bytes);
    }
  });

  test('its query and its decision are in the description of the API', async () => {
    await using running = await startTinySystem(system);
    // biome-ignore lint/suspicious/noExplicitAny: a test looks into it
    const api = (await (await fetch(`${running.url}/openapi.json`)).json()) as any;
    const { parameters } = api.paths['/classify'].post;
    expect(parameters.map(({ name }: { name: string }) => name)).toContain('scale');
    const strategy = parameters.find(({ name }: { name: string }) => name === 'strategy');
    expect(strategy.schema.enum).toEqual(['ask', 'edge', 'expert', 'voices']);
    expect(JSON.stringify(api.components.schemas.Answer)).toContain('"scale"');
    const refused = await postImage(running.url, await flatPng(COLOUR), '?strategy=voices&scale=-1');
    expect([refused.status, refused.body.code]).toEqual([422, 'invalid-parameter']);
  });

  test('another value of its parameter is another answer in the cache', async () => {
    await using running = await startTinySystem(system);
    const picture = await flatPng(COLOUR);
    const ask = async (scale: number) =>
      (await postImage(running.url, picture, `?strategy=voices&scale=${scale}`)).body.decision;
    expect((await ask(1)).reason).toBe('all-are-asked');
    expect((await ask(2)).reason).toBe('all-are-asked');
    expect(await ask(2)).toMatchObject({ reason: 'cache-hit', firstReason: 'all-are-asked', scale: 2 });
  });

  test('a model that is not there is named in degraded, and the others answer', async () => {
    await using running = await startTinySystem({ ...system, experts: 'warm' });
    const { body } = await postImage(running.url, await flatPng(COLOUR), '?strategy=voices&deadlineMs=1500');
    expect([body.degraded, body.route]).toEqual(['no-expert', 'expert']);
    expect(body.hops.filter(({ bytes }: Hop) => bytes > 0).map(({ to }: Hop) => to)).toEqual(['warm']);
  });

  test('a mistake in its settings ends the start with the name of the field', async () => {
    const wrong = async (change: (settings: Record<string, unknown>) => void) => {
      const extend = async (manifest: Manifest, write: WriteFile) => {
        await addThreeVoices(manifest, write);
        change(manifest.strategies.voices as Record<string, unknown>);
      };
      return startTinySystem({ ...system, extend }).then(
        () => 'started',
        (error: Error) => error.message,
      );
    };
    expect(await wrong((settings) => Object.assign(settings, { here: 'warm' }))).toContain(
      "strategies.voices.here: 'warm' has no output 'attention'",
    );
    expect(await wrong((settings) => delete settings.picture)).toContain('strategies.voices.picture');
    expect(await wrong((settings) => Object.assign(settings, { generalist: 'x' }))).toContain('strategies.voices');
    expect(await wrong((settings) => Object.assign(settings, { tokens: 'nobody' }))).toContain('nobody');
  });
});

test('strategy: its parameter may have the name of another strategy’s, with bounds of its own', async () => {
  const query = { threshold: decimal(z.number().min(0).max(9)).optional() };
  await using running = await startTinySystem({ ...system, strategies: [{ ...threeVoices, query }] });
  const picture = await flatPng(COLOUR);
  const ask = async (parameters: string) => (await postImage(running.url, picture, `?threshold=${parameters}`)).status;
  expect([await ask('5&strategy=voices'), await ask('5&strategy=ask'), await ask('10&strategy=voices')]).toEqual([
    200, 422, 422,
  ]);
});

test('strategy: its parameters are read once, also those that it transforms', async () => {
  const layers = z
    .string()
    .optional()
    .transform((text) => text?.split(','));
  const query = { ...threeVoices.query, layers };
  await using running = await startTinySystem({ ...system, strategies: [{ ...threeVoices, query }] });
  const { status } = await postImage(running.url, await flatPng(COLOUR), '?strategy=voices&layers=3,6');
  expect(status).toBe(200);
});

test('strategy: a parameter with the name of one that all have ends the start', async () => {
  const clash = { ...threeVoices, query: { topK: z.string() } };
  await expect(startTinySystem({ ...system, strategies: [clash] })).rejects.toThrow(
    "strategy three-voices: the parameter 'topK' is taken",
  );
});

test('strategy: a parameter that must be given ends the start', async () => {
  const strict = { ...threeVoices, query: { scale: z.string() } };
  await expect(startTinySystem({ ...system, strategies: [strict] })).rejects.toThrow(
    "strategy three-voices: the parameter 'scale' must be optional",
  );
});

test('strategy: an edge that does not know its kind ends with a message that names the field', async () => {
  await expect(startTinySystem({ extend: addThreeVoices })).rejects.toThrow(
    "strategies.voices.kind: 'three-voices' is none of cascade, edge-only, always-expert",
  );
});

interface Ranked {
  index: number;
  confidence: number;
}
interface Hop {
  to: string;
  bytes: number;
  encoding: string;
}
