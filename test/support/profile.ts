/** Colour profiles (ICC v4) made from what defines them: primaries and a curve. */
export type ProfileName = 'sRGB' | 'Display P3' | 'Adobe RGB' | 'ProPhoto' | 'grey';

interface Definition {
  /** XYZ of red, green and blue, adapted to D50. */
  primaries: [number, number, number][];
  /** Exponent, or the curve of sRGB. */
  gamma: number | 'sRGB';
}

const definitions: Record<ProfileName, Definition> = {
  sRGB: {
    primaries: [
      [0.43607, 0.22249, 0.01392],
      [0.38515, 0.71687, 0.09708],
      [0.14307, 0.06061, 0.7141],
    ],
    gamma: 'sRGB',
  },
  'Display P3': {
    primaries: [
      [0.51512, 0.2412, -0.00105],
      [0.29198, 0.69225, 0.04189],
      [0.1571, 0.06657, 0.78407],
    ],
    gamma: 'sRGB',
  },
  'Adobe RGB': {
    primaries: [
      [0.60974, 0.31111, 0.01947],
      [0.20528, 0.62567, 0.06087],
      [0.14919, 0.06322, 0.74457],
    ],
    gamma: 563 / 256,
  },
  ProPhoto: {
    primaries: [
      [0.79767, 0.28804, 0],
      [0.13519, 0.71188, 0],
      [0.03135, 0.00008, 0.82491],
    ],
    gamma: 1.8,
  },
  grey: { primaries: [], gamma: 1.8 },
};

const D50 = [0.9642, 1, 0.8249];

export function makeProfile(name: ProfileName): Buffer {
  const { primaries, gamma } = definitions[name];
  const isGrey = primaries.length === 0;
  const curve =
    gamma === 'sRGB'
      ? Buffer.concat([
          Buffer.from('para\0\0\0\0\0\x03\0\0', 'latin1'),
          fixed([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]),
        ])
      : Buffer.concat([Buffer.from('para\0\0\0\0\0\0\0\0', 'latin1'), fixed([gamma])]);
  const tags: [string, Buffer][] = [
    ['desc', text(name)],
    ['cprt', text('none')],
    ['wtpt', xyz(D50)],
    ...(isGrey ? [['kTRC', curve] as [string, Buffer]] : rgbTags(primaries, curve)),
  ];
  const table = Buffer.alloc(4 + 12 * tags.length);
  table.writeUInt32BE(tags.length, 0);
  let at = 128 + table.length;
  for (const [i, [tag, { length }]] of tags.entries()) {
    table.write(tag, 4 + 12 * i, 'latin1');
    table.writeUInt32BE(at, 8 + 12 * i);
    table.writeUInt32BE(length, 12 + 12 * i);
    at += length;
  }
  const header = Buffer.alloc(128);
  header.writeUInt32BE(at, 0);
  header.writeUInt32BE(0x04200000, 8);
  header.write(isGrey ? 'mntrGRAYXYZ ' : 'mntrRGB XYZ ', 12, 'latin1');
  header.write('acsp', 36, 'latin1');
  fixed(D50).copy(header, 68);
  return Buffer.concat([header, table, ...tags.map(([, data]) => data)]);
}

/**
 * What a colour (0 to 1) of a profile is in sRGB (0 to 255), as browsers show it: clipped where sRGB has no such
 * colour.
 */
export function toSrgb(name: ProfileName, colour: number[]): number[] {
  const { primaries, gamma } = definitions[name];
  const linear = colour.map((value) => (gamma === 'sRGB' ? fromSrgbCurve(value) : value ** gamma));
  if (primaries.length === 0) return linear.map(encode);
  const xyzOf = [0, 1, 2].map((row) =>
    primaries.reduce((sum, primary, i) => sum + (primary[row] as number) * (linear[i] as number), 0),
  );
  return solve(definitions.sRGB.primaries, xyzOf).map(encode);
}

function fromSrgbCurve(value: number): number {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

function encode(linear: number): number {
  const value = Math.min(1, Math.max(0, linear));
  return Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
}

/** The amounts of three columns that make a vector. */
function solve(columns: [number, number, number][], vector: number[]): number[] {
  const determinant = ([a, b, c]: number[][]) =>
    [0, 1, 2].reduce((sum, i) => {
      const [j, k] = [(i + 1) % 3, (i + 2) % 3];
      const part = (b?.[j] ?? 0) * (c?.[k] ?? 0) - (b?.[k] ?? 0) * (c?.[j] ?? 0);
      return sum + (a?.[i] ?? 0) * part;
    }, 0);
  const whole = determinant(columns);
  return columns.map((_, i) => determinant(columns.map((column, j) => (i === j ? vector : column))) / whole);
}

function rgbTags(primaries: number[][], curve: Buffer): [string, Buffer][] {
  const letters = ['r', 'g', 'b'];
  return letters.flatMap((letter, i): [string, Buffer][] => [
    [`${letter}XYZ`, xyz(primaries[i] as number[])],
    [`${letter}TRC`, curve],
  ]);
}

function fixed(values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) buffer.writeInt32BE(Math.round(65_536 * value), 4 * i);
  return buffer;
}

function xyz(values: number[]): Buffer {
  return Buffer.concat([Buffer.from('XYZ \0\0\0\0', 'latin1'), fixed(values)]);
}

/** In English, of characters in pairs of bytes, padded to four. */
function text(value: string): Buffer {
  const characters = Buffer.from(value, 'utf16le').swap16();
  const head = Buffer.alloc(28);
  head.write('mluc', 0, 'latin1');
  head.writeUInt32BE(1, 8);
  head.writeUInt32BE(12, 12);
  head.write('enUS', 16, 'latin1');
  head.writeUInt32BE(characters.length, 20);
  head.writeUInt32BE(28, 24);
  return Buffer.concat([head, characters, Buffer.alloc((4 - (characters.length % 4)) % 4)]);
}
