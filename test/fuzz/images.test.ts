import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fuzz } from '../support/fuzz/cases.ts';
import { buildFile, type FileCase, fileCase } from '../support/fuzz/mutations.ts';
import { isAccepted, makeSamples } from '../support/fuzz/samples.ts';
import { DEADLINE_MS, requireProper, SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';

const samples = await makeSamples();
const names = [...samples.keys()];

let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
beforeAll(async () => {
  system = await startFuzzedSystem();
});
afterAll(() => system[Symbol.asyncDispose]());

interface ImageCase {
  file: FileCase;
  door: 'raw' | 'form' | 'json';
  type: string;
  strategy: string;
}

const imageCase: fc.Arbitrary<ImageCase> = fc.record({
  file: fileCase(names),
  door: fc.oneof({ weight: 4, arbitrary: fc.constant('raw' as const) }, fc.constantFrom('form' as const, 'json')),
  type: fc.constantFrom('image/png', 'image/jpeg', 'image/webp'),
  strategy: fc.constantFrom('ask', 'edge', 'expert'),
});

async function send({ file, door, type, strategy }: ImageCase) {
  const bytes = new Uint8Array(buildFile(file, samples));
  const form = new FormData();
  form.append('image', new Blob([bytes], { type }), 'picture');
  const doors: Record<ImageCase['door'], RequestInit> = {
    raw: { headers: { 'content-type': type }, body: bytes },
    form: { body: form },
    json: {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ image: Buffer.from(bytes).toString('base64') }),
    },
  };
  const response = await fetch(`${system.url}/classify?strategy=${strategy}&deadlineMs=${DEADLINE_MS}`, {
    method: 'POST',
    ...doors[door],
    signal: AbortSignal.timeout(DEADLINE_MS + SLACK_MS),
  });
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
}

test('fuzz images: every kind of picture is answered, every other file refused', async () => {
  for (const sample of names) {
    const file = { sample, mutations: [], repaired: false };
    const answer = await send({ file, door: 'raw', type: 'image/png', strategy: 'expert' });
    expect([sample, answer.status === 200], answer.text).toEqual([sample, isAccepted(sample)]);
    requireProper(answer);
  }
});

fuzz(
  'whatever file comes by whatever door is answered, or refused with a code',
  'images',
  imageCase,
  () => system.watched,
  async (one) => void requireProper(await send(one)),
);
