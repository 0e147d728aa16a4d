import fc from 'fast-check';
import type { Sample } from './samples.ts';
import { repair, unitsOf, writeLength, writeSize } from './units.ts';

/** One change to a file. Positions are taken modulo what is there, so that every change fits every file. */
export type Mutation =
  | { kind: 'flip'; at: number; bit: number }
  | { kind: 'write'; at: number; bytes: number[] }
  | { kind: 'cut'; at: number }
  | { kind: 'remove'; at: number; count: number }
  | { kind: 'repeat'; at: number; count: number; times: number }
  | { kind: 'insert'; at: number; bytes: number[] }
  | { kind: 'remove-unit'; unit: number }
  | { kind: 'repeat-unit'; unit: number; times: number }
  | { kind: 'move-unit'; unit: number; to: number }
  | { kind: 'length'; unit: number; value: number }
  | { kind: 'size'; width: number; height: number }
  | { kind: 'append' | 'prepend' | 'tail' | 'insert-unit'; from: string; unit: number };

const at = fc.nat(0x7fffffff);
const byte = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255));
const bytes = fc.array(byte, { minLength: 1, maxLength: 12 });
const unit = fc.nat(40);
const length = fc.oneof(fc.constantFrom(0, 1, 2, 3, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff), fc.nat(5000));
const side = fc.oneof(
  fc.constantFrom(0, 1, 2, 255, 3000, 7071, 16_383, 16_384, 65_500, 65_535, 0x7fffffff, 0xffffffff),
  fc.nat(20_000),
);

export function mutation(names: string[]): fc.Arbitrary<Mutation> {
  const from = fc.constantFrom(...names);
  return fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at, bit: fc.nat(7) }),
    fc.record({ kind: fc.constant('write' as const), at, bytes }),
    fc.record({ kind: fc.constant('cut' as const), at }),
    fc.record({ kind: fc.constant('remove' as const), at, count: fc.nat(600) }),
    fc.record({ kind: fc.constant('repeat' as const), at, count: fc.nat(600), times: fc.integer({ min: 1, max: 50 }) }),
    fc.record({ kind: fc.constant('insert' as const), at, bytes }),
    fc.record({ kind: fc.constant('remove-unit' as const), unit }),
    fc.record({ kind: fc.constant('repeat-unit' as const), unit, times: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ kind: fc.constant('move-unit' as const), unit, to: unit }),
    fc.record({ kind: fc.constant('length' as const), unit, value: length }),
    fc.record({ kind: fc.constant('size' as const), width: side, height: side }),
    fc.record({ kind: fc.constantFrom('append' as const, 'prepend', 'tail', 'insert-unit'), from, unit }),
  );
}

/** A file to send, as a description that can be printed and replayed. */
export interface FileCase {
  sample: string;
  mutations: Mutation[];
  /** Checksums are made to fit afterwards. */
  repaired: boolean;
}

export function fileCase(names: string[]): fc.Arbitrary<FileCase> {
  return fc.record({
    sample: fc.constantFrom(...names),
    mutations: fc.array(mutation(names), { maxLength: 4, size: 'max' }),
    repaired: fc.boolean(),
  });
}

/** What is repeated again and again would outgrow the memory of the test. */
const LARGE = 1_000_000;

/** The bytes of a case. A fresh copy each time. */
export function buildFile({ sample, mutations, repaired }: FileCase, samples: Map<string, Sample>): Buffer {
  let file: Buffer = Buffer.from((samples.get(sample) as Sample).bytes);
  for (const one of mutations) if (file.length < LARGE) file = mutate(file, one, samples);
  if (repaired) repair(file);
  return file;
}

function mutate(file: Buffer, one: Mutation, samples: Map<string, Sample>): Buffer {
  const place = 'at' in one ? one.at % (file.length + 1) : 0;
  const units = unitsOf(file);
  const pick = 'unit' in one && units.length > 0 ? units[one.unit % units.length] : undefined;
  const own = pick ? file.subarray(pick.start, pick.end) : Buffer.alloc(0);
  const splice = (start: number, end: number, ...inserted: Uint8Array[]) =>
    Buffer.concat([file.subarray(0, start), ...inserted, file.subarray(end)]);
  switch (one.kind) {
    case 'flip':
      if (place < file.length) file[place] = (file[place] as number) ^ (1 << one.bit);
      return file;
    case 'write':
      file.set(one.bytes.slice(0, file.length - place), place);
      return file;
    case 'cut':
      return file.subarray(0, place);
    case 'remove':
      return splice(place, place + one.count);
    case 'repeat': {
      const piece = file.subarray(place, place + one.count);
      return splice(place, place, ...Array.from({ length: one.times }, () => piece));
    }
    case 'insert':
      return splice(place, place, Buffer.from(one.bytes));
    case 'remove-unit':
      return pick ? splice(pick.start, pick.end) : file;
    case 'repeat-unit':
      return pick ? splice(pick.end, pick.end, ...Array.from({ length: one.times }, () => own)) : file;
    case 'move-unit': {
      const to = units[one.to % Math.max(1, units.length)];
      if (!pick || !to || to.start <= pick.start) return file;
      return Buffer.concat([file.subarray(0, pick.start), file.subarray(pick.end, to.end), own, file.subarray(to.end)]);
    }
    case 'length':
      if (pick) writeLength(file, pick, one.value);
      return file;
    case 'size':
      writeSize(file, one.width, one.height);
      return file;
  }
  const { bytes: other } = samples.get(one.from) as Sample;
  if (one.kind === 'append') return Buffer.concat([file, other]);
  if (one.kind === 'prepend') return Buffer.concat([other, file]);
  if (one.kind === 'tail') return Buffer.concat([file.subarray(0, file.length / 2), other.subarray(other.length / 2)]);
  const foreign = unitsOf(other);
  const guest = foreign[one.unit % Math.max(1, foreign.length)];
  const end = pick?.end ?? 0;
  return splice(end, end, other.subarray(guest?.start ?? 0, guest?.end));
}
