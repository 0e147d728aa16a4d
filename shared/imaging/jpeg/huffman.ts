/** A JPEG Huffman table, for parsing a scan without decoding its pixels. */
export interface HuffmanTable {
  /**
   * Indexed by the next 12 bits: how many bits the codes that lie entirely within them take, with their values (bits 0
   * to 4); how many coefficients they stand for (bits 5 to 11); whether the block ends there (bit 12). 0: no code lies
   * within.
   */
  readonly several: Int32Array;
  /** The same for the first code alone. */
  readonly one: Int32Array;
  /** By length: an upper bound of its codes, and what to add to a code to get its symbol's index. */
  readonly limits: Int32Array;
  readonly offsets: Int32Array;
  readonly symbols: Uint8Array;
}

export const WINDOW = 12;
export const END = 1 << 12;
const MAX_KEPT = 32;

const kept = new Map<string, HuffmanTable>();

/**
 * From a DHT segment: 16 counts, then the symbols: runs and sizes for `ac`, else sizes. Undefined if it is no valid
 * code.
 */
export function toHuffmanTable(definition: Buffer, ac: boolean): HuffmanTable | undefined {
  const key = `${ac} ${definition.toString('latin1')}`;
  const known = kept.get(key);
  if (known) return known;
  const made = makeTable(definition, ac);
  if (made === undefined) return undefined;
  if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value as string);
  kept.set(key, made);
  return made;
}

/** The table entry of a code of that length with its value: bits, coefficients, end. */
export function toEntry(symbol: number, length: number, ac: boolean): number {
  const size = symbol & 15;
  if (!ac) return length + size;
  const run = symbol >> 4;
  if (size === 0) return run === 15 ? length | (16 << 5) : length | END;
  return (length + size) | ((run + 1) << 5);
}

function makeTable(definition: Buffer, ac: boolean): HuffmanTable | undefined {
  const symbols = Uint8Array.from(definition.subarray(16));
  const [limits, offsets] = [new Int32Array(17), new Int32Array(17)];
  const one = new Int32Array(1 << WINDOW);
  const lengths = new Uint8Array(1 << WINDOW);
  let [code, place] = [0, 0];
  for (let length = 1; length <= 16; length++, code <<= 1) {
    const last = code + (definition[length - 1] as number);
    offsets[length] = place - code;
    limits[length] = last;
    if (last > 1 << length || place + last - code > symbols.length) return undefined;
    for (; code < last; code++, place++) {
      const entry = toEntry(symbols[place] as number, length, ac);
      if (length > WINDOW) continue;
      const [from, to] = [code << (WINDOW - length), (code + 1) << (WINDOW - length)];
      one.fill(entry, from, to);
      lengths.fill(length, from, to);
    }
  }
  return { one, several: ac ? combine(one, lengths) : one, limits, offsets, symbols };
}

function combine(one: Int32Array, lengths: Uint8Array): Int32Array {
  return one.map((first, window) => {
    let [bits, coefficients, end] = [first & 31, (first >> 5) & 127, first & END];
    while (first !== 0 && end === 0 && bits < WINDOW) {
      const place = (window << bits) & (one.length - 1);
      const next = one[place] as number;
      // The zeros after the window are not the file's.
      if (next === 0 || bits + (lengths[place] as number) > WINDOW) break;
      bits += next & 31;
      coefficients += (next >> 5) & 127;
      end = next & END;
    }
    return bits | (Math.min(coefficients, 127) << 5) | end;
  });
}
