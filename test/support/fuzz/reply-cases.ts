import fc from 'fast-check';

/** A deadline for what is passed over until it ends. */
export const STRAY_MS = 500;
/** A deadline that is over soon, and when a reply comes too late for it, in milliseconds. */
export const SHORT_MS = 1000;
export const TOO_LATE_MS = 1500;

interface Line {
  name: string;
  value: string;
}

export interface ReplyCase {
  start: string;
  lines: Line[];
  payload: number[] | number;
  times: number;
  /** Milliseconds after the question; beyond the deadline it comes too late. */
  delayMs: number;
}

const good: Line[] = [
  { name: 'Ask-Payload', value: 'logits/f16' },
  { name: 'Ask-Expert-Ms', value: '1.5' },
  { name: 'Ask-Model-Digest', value: 'DIGEST' },
];
const logits = [0, 0, 0, 0x49, 0, 0, 0, 0];
const half = fc.constantFrom([0, 0x7e], [0, 0x7c], [0, 0xfc], [0xff, 0x7b], [0xff, 0xfb], [1, 0], [0, 0x80], [0, 0x3c]);

const errorLine = fc
  .constantFrom(
    ...[
      'overloaded',
      'deadline-exceeded',
      'stopping',
      'internal',
      'client-closed',
      '__proto__',
      'constructor',
      'toString',
    ],
    ...['', 'OVERLOADED', 'hasOwnProperty', '\xff\0', 'e'.repeat(50_000), 'overloaded, overloaded'],
  )
  .map((value) => ({ name: 'Nats-Service-Error', value }));
const oddLine = fc.oneof(
  errorLine,
  fc.record({
    name: fc.constant('Ask-Payload'),
    value: fc.constantFrom(
      ...['', 'logits/f32', 'logits/f16; v=2', 'image/png', '__proto__', 'LOGITS/F16', ' logits/f16'],
      ...[
        'tensors',
        'tensors; logits=f16[1,4]',
        'tensors; logits=f16[4]',
        'tensors; logits=u8[1,8]',
        'tensors; x=f16[4]',
      ],
      ...['tensors; logits=f16[1,4]; x=u8[0]', 'tensors; logits=f16[999999999,999999999]', 'tensors; logits=i64[1]'],
    ),
  }),
  fc.record({
    name: fc.constant('Ask-Expert-Ms'),
    value: fc.constantFrom('', '-1', 'NaN', 'Infinity', '1e999', '-Infinity', '0x10', '{}', '9'.repeat(400), '-0'),
  }),
  fc.record({
    name: fc.constant('Ask-Model-Digest'),
    value: fc.constantFrom('', '0'.repeat(64), 'DIGEST0', '__proto__', 'd'.repeat(50_000)),
  }),
  fc.record({
    name: fc.constantFrom(
      '',
      '__proto__',
      'constructor',
      'Status',
      'Description',
      'x\0',
      'a b',
      ' folded',
      'Nats-Service-Error-Code',
    ),
    value: fc.constantFrom('', '503', 'x\ny', 'x\ry', '\xff\xfe', '\r\n', 'v'.repeat(50_000)),
  }),
);

export const replyCase: fc.Arbitrary<ReplyCase> = fc.record({
  start: fc.oneof(
    { weight: 8, arbitrary: fc.constant('NATS/1.0') },
    fc.constantFrom(
      '',
      'NATS/1.0 503',
      'NATS/1.0 503 No Responders',
      'NATS/1.0 408',
      'NATS/1.0 abc',
      'NATS/1.',
      'NATS',
      '\0',
    ),
  ),
  lines: fc.oneof(
    fc.array(oddLine, { maxLength: 4 }),
    { weight: 3, arbitrary: fc.array(oddLine, { maxLength: 3 }).map((odd) => [...good, ...odd]) },
    { weight: 3, arbitrary: fc.array(oddLine, { maxLength: 3 }).map((odd) => [...odd, ...good]) },
    fc.array(oddLine, { minLength: 1, maxLength: 2 }).map((odd) => {
      return [...good.filter(({ name }) => odd.every((one) => one.name !== name)), ...odd];
    }),
  ),
  payload: fc.oneof(
    { weight: 4, arbitrary: fc.constant(logits) },
    fc.array(half, { minLength: 4, maxLength: 4 }).map((values) => values.flat()),
    fc.array(fc.nat(255), { maxLength: 20 }),
    fc.constantFrom(0, 7, 9, 1000, 900_000),
  ),
  times: fc.constantFrom(1, 1, 1, 2, 5),
  delayMs: fc.oneof({ weight: 100, arbitrary: fc.constant(0) }, fc.constant(TOO_LATE_MS)),
});

/** Whether it may be taken for a message that is no reply of an expert: such are passed over. */
export const maybeStray = ({ start, lines }: ReplyCase) =>
  start !== 'NATS/1.0' || !lines.some(({ name }) => name === 'Ask-Payload' || name === 'Nats-Service-Error');

/** What an expert should reply. */
export const proper: ReplyCase = { start: 'NATS/1.0', lines: good, payload: logits, times: 1, delayMs: 0 };

export const withLine = (name: string, value: string) => ({
  ...proper,
  lines: [...good.filter((line) => line.name !== name), { name, value }],
});
