import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { randomNumbers, writePredictions } from '../support/predictions.ts';
import { spawnService } from '../support/service.ts';
import { makeTinyBundle, type TinyBundle } from '../support/tiny-bundle.ts';

const HELD = 2000;
let bundle: TinyBundle;
let before: string;

/** The generalist is right as often as it is confident, and unsure of warm and cold alike; experts know their own. */
beforeEach(async () => {
  bundle = await makeTinyBundle();
  const random = randomNumbers(3);
  const pictures = Array.from({ length: HELD + 600 }, (_, i) => {
    const label = Math.floor(4 * random());
    const confidence = 0.3 + 0.7 * random();
    const said = random() < confidence ? label : (label + 1) % 4;
    const rest = Math.log((1 - confidence) / 3 + 1e-6);
    const generalist = [0, 1, 2, 3].map((at) => (at === said ? Math.log(confidence) : rest));
    const expert = [0, 1, 2, 3].map((at) => (at === label ? 9 : 0));
    return { label, held: i < HELD, logits: { generalist, warm: expert, cold: expert } };
  });
  await writePredictions(bundle.directory, pictures);
  before = await readFile(join(bundle.directory, 'manifest.json'), 'utf8');
});
afterEach(() => bundle.remove());

async function calibrate(...args: string[]) {
  await using service = spawnService('cli', { ASK_MODELS_DIR: bundle.directory }, ['calibrate', ...args]);
  return { status: await service.exited, output: service.output(), errors: service.log() };
}

test('calibrate: a target accuracy is written into the manifest with its certificate and curve', async () => {
  const { status, output } = await calibrate('--target-accuracy', '0.85', '--json');
  expect(status).toBe(0);
  const written = viewCascade((await loadBundle(bundle.directory)).manifest);
  expect(JSON.parse(output)).toEqual(written.calibration);
  expect(written.calibration).toMatchObject({ goal: { 'target-accuracy': 0.85 }, confidence: 0.95, pictures: HELD });
  expect(written.gate.threshold).toBe(written.calibration?.threshold);
  expect(written.calibration?.accuracy.low).toBeGreaterThan(0.84);
  expect(written.calibration?.accuracy.value).toBeLessThan(0.9);
  const { curve } = written.calibration as { curve: { escalated: number; accuracy: { low: number } }[] };
  expect(curve.length).toBeGreaterThan(10);
  expect([curve.at(0)?.escalated, curve.at(-1)?.escalated]).toEqual([0, 1]);
});

test('calibrate: the metric that is named, or found best, is written with the threshold', async () => {
  for (const name of ['entropy', 'best']) {
    const { status, output } = await calibrate('--max-escalation', '0.4', '--metric', name, '--json');
    expect(status).toBe(0);
    const written = viewCascade((await loadBundle(bundle.directory)).manifest);
    expect(JSON.parse(output).metric).toBe(written.gate.measure);
    if (name !== 'best') expect(written.gate.measure).toBe(name);
    expect(written.calibration?.escalated.high).toBeLessThan(0.42);
  }
});

test('calibrate: limits of latency and energy become limits of escalation, by the means given', async () => {
  const times = ['--edge-ms', '2', '--expert-ms', '8', '--network-ms', '2'];
  const latency = await calibrate('--max-latency', '5', ...times, '--json');
  const energy = await calibrate(
    '--max-energy',
    '0.02',
    ...times,
    '--edge-watts',
    '5',
    '--expert-watts',
    '4',
    '--json',
  );
  for (const [{ status, output }, share] of [
    [latency, 0.3],
    [energy, 0.01 / 0.032],
  ] as const) {
    expect(status).toBe(0);
    const { escalated } = JSON.parse(output);
    expect(escalated.value).toBeLessThan(share);
    expect(escalated.value).toBeGreaterThan(share - 0.05);
  }
});

test('calibrate: without given times the models are measured', async () => {
  const { status, errors } = await calibrate('--max-latency', '1000', '--dry-run');
  expect(status).toBe(0);
  expect(errors).toMatch(/generalist \d+\.\d\d ms, expert \d+\.\d\d ms \(median of 30 runs on this machine/);
});

test('calibrate: altered weights are not measured', async () => {
  await appendFile(join(bundle.directory, 'warm.onnx'), 'x');
  const { status, errors } = await calibrate('--max-latency', '1000');
  expect([status, errors]).toEqual([
    1,
    expect.stringMatching(/^ask: model warm: .*\d+ bytes, the manifest says \d+\n$/),
  ]);
});

test('calibrate: a signature of the former manifest is removed with a notice; one that still holds stays', async () => {
  const signature = join(bundle.directory, 'manifest.json.sig');
  await writeFile(signature, 'of the manifest before');
  const dry = await calibrate('--max-escalation', '0.4', '--dry-run');
  expect([dry.errors, await readFile(signature, 'utf8')]).toEqual(['nothing was written\n', 'of the manifest before']);
  const { errors } = await calibrate('--max-escalation', '0.4');
  expect(errors).toMatch(
    /^written: .*manifest\.json, in schemaVersion 2 \(it had 1\)\nremoved: .*\.json\.sig, which was of the manifest before;/,
  );
  await expect(readFile(signature)).rejects.toThrow('ENOENT');
  await writeFile(signature, 'of this manifest');
  expect((await calibrate('--max-escalation', '0.4')).errors).toMatch(/^written: .*manifest\.json\n$/);
  expect(await readFile(signature, 'utf8')).toBe('of this manifest');
});

describe('calibrate: the manifest stays as it is', () => {
  afterEach(async () => expect(await readFile(join(bundle.directory, 'manifest.json'), 'utf8')).toBe(before));

  test('on a dry run', async () => {
    const { status, output, errors } = await calibrate('--max-escalation', '0.4', '--dry-run');
    expect(status).toBe(0);
    expect(output).toMatch(/^threshold {2}escalated {3}accuracy {2}95 % interval\n0\.000/);
    expect(output).toMatch(/chosen: max-probability below 0\.\d+, 3\d\.\d\d % escalated, \d\d\.\d\d % right\n/);
    expect(errors).toContain('nothing was written');
  });

  test.each([
    [
      'beyond reach',
      ['--target-accuracy', '0.9999'],
      /^the goal cannot be met: .* % is asked for; nothing was written/,
    ],
    [
      'a generalist too slow',
      ['--max-latency', '1', '--edge-ms', '2', '--expert-ms', '8'],
      /the generalist alone costs more/,
    ],
    ['impossible together', ['--target-accuracy', '0.9', '--max-escalation', '0.05'], /the goal cannot be met/],
  ])('when the goal is %s', async (_, args, message) => {
    const { status, errors } = await calibrate(...args);
    expect(status).toBe(1);
    expect(errors).toMatch(message);
  });

  test('a sure certificate is not called certain', async () => {
    const { output } = await calibrate('--max-escalation', '0.4', '--delta', '1e-4', '--dry-run');
    expect(output).toContain('with 99.99 % confidence: ');
  });

  test.each([
    ['no goal', [], 'calibrate needs a goal: --target-accuracy'],
    ['no number', ['--target-accuracy', 'high'], '--target-accuracy high is not a number'],
    ['a share above 1', ['--max-escalation', '40'], '--max-escalation 40 is not between 0 and 1'],
    ['an unknown metric', ['--max-escalation', '0.4', '--metric', 'luck'], '--metric luck is none of max-probability'],
    [
      'a metric without its scoring',
      ['--max-escalation', '0.4', '--metric', 'expected-gain'],
      '--metric expected-gain is none of',
    ],
    ['an impossible delta', ['--max-escalation', '0.4', '--delta', '0'], '--delta must lie between 0 and 1'],
    [
      'energy without watts',
      ['--max-energy', '1', '--edge-ms', '2', '--expert-ms', '8'],
      '--max-energy needs --edge-watts',
    ],
  ])('on %s, which is a usage error', async (_, args, message) => {
    const { status, errors } = await calibrate(...args);
    expect(status).toBe(2);
    expect(errors).toContain(message);
  });

  test('when the predictions are missing, broken, or of other weights', async () => {
    const path = join(bundle.directory, 'validation.safetensors');
    const file = await readFile(path);
    const spoiled: [Buffer, string][] = [
      [file.subarray(0, 100), 'is not a usable safetensors file'],
      [file.subarray(0, file.length - 3), 'is cut short'],
      [
        Buffer.from(file.toString('latin1').replace(/warm\\":\\"[0-9a-f]{4}/, 'warm\\":\\"0000'), 'latin1'),
        "'warm' are of weights 0000",
      ],
    ];
    for (const [content, message] of spoiled) {
      await writeFile(path, content);
      const { status, errors } = await calibrate('--max-escalation', '0.4');
      expect([status, errors]).toEqual([1, expect.stringContaining(message)]);
    }
  });
});
