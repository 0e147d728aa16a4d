import fc from 'fast-check';
import { SIZE } from '../tiny-bundle.ts';
import { buildFile, type FileCase, fileCase } from './mutations.ts';
import { makePng } from './png.ts';
import type { Sample } from './samples.ts';

/** The deadline of a request that is in no hurry, in milliseconds. */
export const NORMAL_MS = 10_000;

const bombs: Record<string, Buffer> = {
  'a bomb': makePng({ width: 16_000, height: 16_000, depth: 1, colour: 0 }),
  'an interlaced bomb': makePng({ width: 2000, height: 2000, depth: 16, colour: 6, interlaced: true }),
};

type Payload = { file: FileCase } | { pixels: number } | { bomb: string } | { bytes: number[] };

export interface BusCase {
  start: string;
  lines: string[];
  payload: Payload;
  reply: 'answers' | 'nobody' | 'itself' | '*' | '>' | '$SYS.x';
}

const deadline = fc.oneof(
  { weight: 8, arbitrary: fc.constant(String(NORMAL_MS)) },
  fc.constantFrom(
    '',
    '0',
    '-5',
    'NaN',
    'Infinity',
    '1e4',
    '99999999999',
    '10000.5',
    ' 10000',
    '10000\0',
    '\u0661',
    '9'.repeat(9000),
  ),
  fc.constantFrom('999999999', '010000', '1'),
);
const side = fc.constantFrom('8', '8', '8', '0', '-8', '00008', '99999', '100000', '8.0', '1', '64', '');
const dimension = fc.constantFrom('1', '1', '8', '8', '3', '0', '-1', '01', '999999999', '9999999999', '', 'batch');
/** Of tensors; the model takes `pixels` as uint8 [1, 8, 8, 3], and no other. */
const tensor = fc.oneof(
  { weight: 4, arbitrary: fc.constant('pixels=u8[1,8,8,3]') },
  fc
    .record({
      name: fc.constantFrom('pixels', 'pixels', 'Pixels', 'x', '__proto__', 'constructor', '', 'p'.repeat(70), 'a b'),
      type: fc.constantFrom('u8', 'u8', 'i8', 'i32', 'i64', 'f16', 'f32', 'U8', ''),
      shape: fc.array(dimension, { maxLength: 9 }),
    })
    .map(({ name, type, shape }) => `${name}=${type}[${shape}]`),
  fc.constantFrom('', '=', 'pixels', 'pixels=u8', 'pixels=u8[1', ';;', `x=u8[${'9,'.repeat(3000)}9]`),
);
const layout = fc.oneof(
  { weight: 3, arbitrary: fc.array(tensor, { maxLength: 3 }).map((parts) => ['tensors', ...parts].join('; ')) },
  { weight: 6, arbitrary: fc.constantFrom('image/png', 'image/jpeg', 'image/webp', 'image/x-rgb8; width=8; height=8') },
  fc.tuple(side, side).map(([width, height]) => `image/x-rgb8; width=${width}; height=${height}`),
  fc.constantFrom(
    '',
    'image/gif',
    'image/svg+xml',
    '__proto__',
    'constructor',
    'IMAGE/PNG',
    'image/png\0',
    'logits/f16',
  ),
  fc.constantFrom(`image/x-rgb8;${' '.repeat(9000)}`, `image/x-rgb8; width=${'8'.repeat(9000)}; height=8`),
);
const ownLine = fc.oneof(
  { weight: 4, arbitrary: deadline.map((value) => `Ask-Deadline-Ms: ${value}`) },
  { weight: 4, arbitrary: layout.map((value) => `Ask-Payload: ${value}`) },
);
const otherLine = fc.constantFrom(
  ...[
    '',
    ':',
    ': x',
    'no colon',
    'Ask-Request-Id: \xff\xfe\0',
    `Ask-Request-Id: ${'r'.repeat(50_000)}`,
    '__proto__: x',
    'constructor: x',
  ],
  ...[
    'ask-payload: image/png',
    'Ask-Payload : image/png',
    ' Ask-Payload: folded',
    'Ask-Deadline-Ms: 1\nAsk-Payload: x',
    'a\r: b',
  ],
  ...[
    'Nats-Service-Error: overloaded',
    'Status: 503',
    'traceparent: 00-x',
    `tracestate: ${'a'.repeat(9000)}`,
    'x: \xc3\x28',
  ],
  ...[
    `traceparent: 00-${'a'.repeat(90_000)}`,
    `traceparent: ${' '.repeat(90_000)}x`,
    `tracestate: ${'a=b,'.repeat(20_000)}`,
  ],
  ...[
    `baggage: ${'a=b,'.repeat(20_000)}`,
    `baggage: ${'%'.repeat(90_000)}`,
    `traceparent: 00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  ],
  ...[Array.from({ length: 5000 }, (_, i) => `x-${i}: y`).join('\r\n'), `${'y'.repeat(60_000)}: z`],
);
export const busCase = (names: string[]): fc.Arbitrary<BusCase> =>
  fc.record({
    start: fc.oneof(
      { weight: 9, arbitrary: fc.constant('NATS/1.0') },
      fc.constantFrom(
        '',
        'NATS/1.0 503',
        'NATS/1.0 503 No Responders',
        'NATS/1.0 abc',
        'NATS/9.9',
        'HTTP/1.1',
        '\0',
        'NATS',
      ),
    ),
    lines: fc
      .tuple(
        deadline,
        layout,
        fc.array(fc.oneof({ weight: 3, arbitrary: otherLine }, ownLine), { maxLength: 3 }),
        fc.nat(9),
      )
      .map(([ms, picture, others, kept]) => {
        const own = [`Ask-Deadline-Ms: ${ms}`, `Ask-Payload: ${picture}`];
        return [...(kept === 0 ? [] : own), ...others];
      }),
    payload: fc.oneof(
      { weight: 12, arbitrary: fc.record({ file: fileCase(names) }) },
      fc.record({ pixels: fc.constantFrom(SIZE * SIZE * 3, SIZE * SIZE * 3, 0, 1, SIZE * SIZE * 3 - 1, 900_000) }),
      fc.record({ bomb: fc.constantFrom(...Object.keys(bombs)) }),
      fc.record({ bytes: fc.array(fc.nat(255), { maxLength: 50 }) }),
    ),
    reply: fc.oneof(
      { weight: 12, arbitrary: fc.constant('answers' as const) },
      fc.constantFrom('nobody' as const, 'itself', '*', '>', '$SYS.x'),
    ),
  });

/** More in one message the server refuses itself. */
const LARGEST = 1_000_000;

/** Headers and payload of a case. */
export function toMessage({ start, lines, payload }: BusCase, samples: Map<string, Sample>) {
  const headers = `${[start, ...lines].join('\r\n')}\r\n\r\n`;
  return { headers, payload: toBytes(payload, samples).subarray(0, LARGEST - headers.length) };
}

function toBytes(payload: Payload, samples: Map<string, Sample>): Buffer {
  if ('file' in payload) return buildFile(payload.file, samples);
  if ('pixels' in payload) return Buffer.alloc(payload.pixels, 120);
  return 'bomb' in payload ? (bombs[payload.bomb] as Buffer) : Buffer.from(payload.bytes);
}
