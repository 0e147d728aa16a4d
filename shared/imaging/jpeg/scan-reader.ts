import { END, type HuffmanTable, toEntry, WINDOW } from './huffman.ts';

/** The tables of a block of 8 x 8 values. */
export interface Block {
  dc: HuffmanTable;
  ac: HuffmanTable;
}

/** Bytes that cameras leave between the end of the data and the next marker. A splice leaves more, or a filler. */
const MAX_EXTRA = 32;
const COEFFICIENTS = 64;
const CHUNK = 65_536;
export const MAX_BLOCKS_OF_MCU = 10;
const MAX_BYTES_OF_MCU = MAX_BLOCKS_OF_MCU * COEFFICIENTS * 4;

/** Parses entropy-coded data, up to the next marker. */
export class ScanReader {
  readonly #file: Buffer;
  #at: number;
  /** Bytes read ahead, without the zero that follows each byte 0xff; then zeros. */
  readonly #ahead: Uint8Array;
  #length = 0;
  #bit = 0;
  #isLast = false; // the data ends within what was read ahead

  constructor(file: Buffer, at: number) {
    this.#file = file;
    this.#at = at;
    this.#ahead = new Uint8Array(Math.min(CHUNK, file.length - at) + 2 * MAX_BYTES_OF_MCU);
  }

  /** The data ended early. */
  get dry(): boolean {
    return this.#bit > 8 * this.#length;
  }

  /** Parses `count` MCUs; returns how many of them are complete. */
  pass(blocks: Block[], count: number): number {
    for (let done = 0; done < count; ) {
      if (!this.#isLast && this.#bit > this.#safe) this.#readAhead();
      const safe = this.#safe;
      while (done < count && this.#bit <= safe) {
        const bit = passMcu(this.#ahead, this.#bit, blocks);
        if (bit >= 0) this.#bit = bit;
        if (bit < 0 || this.dry) return done;
        done += 1;
      }
    }
    return count;
  }

  /**
   * An MCU that begins at this bit or before has been read ahead completely, or as much of it as there is: zeros
   * follow.
   */
  get #safe(): number {
    return 8 * (this.#isLast ? this.#length : this.#length - MAX_BYTES_OF_MCU);
  }

  /** What follows: a marker, nothing (undefined), or more data than cameras leave between the two. */
  toMarker(): number | 'data' | undefined {
    let extra = 0;
    let filler = true;
    for (;;) {
      const from = Math.ceil(this.#bit / 8);
      const left = this.#ahead.subarray(from, this.#length);
      extra += left.length;
      filler &&= left.every((byte) => byte === left[0]);
      if (extra > MAX_EXTRA && !filler) return 'data';
      this.#bit = 8 * this.#length;
      if (this.#isLast) break;
      this.#readAhead();
    }
    [this.#length, this.#bit] = [0, 0];
    return this.#file[this.#at + 1];
  }

  /** Moves past the marker that `toMarker` found. */
  skipMarker(): void {
    this.#at += 2;
    this.#isLast = false;
  }

  #readAhead(): void {
    const [file, ahead] = [this.#file, this.#ahead];
    const from = this.#bit >> 3;
    ahead.copyWithin(0, from, this.#length);
    this.#length -= from;
    this.#bit &= 7;
    const room = ahead.length - MAX_BYTES_OF_MCU;
    while (this.#length < room && !this.#isLast) {
      const piece = file.subarray(this.#at, this.#at + room - this.#length);
      const stop = piece.indexOf(0xff);
      ahead.set(stop < 0 ? piece : piece.subarray(0, stop), this.#length);
      const length = stop < 0 ? piece.length : stop;
      this.#length += length;
      this.#at += length;
      if (stop >= 0) this.#readStuffed();
      else if (this.#at >= file.length) this.#isLast = true;
    }
    ahead.fill(0, this.#length, this.#length + MAX_BYTES_OF_MCU);
  }

  /** Reads a byte 0xff, perhaps several: data if a zero follows, else a marker. */
  #readStuffed(): void {
    const file = this.#file;
    let next = this.#at + 1;
    while (file[next] === 0xff) next += 1;
    if (file[next] === 0) {
      this.#ahead[this.#length++] = 0xff;
      this.#at = next + 1;
    } else {
      this.#isLast = true;
      this.#at = next < file.length ? next - 1 : file.length;
    }
  }
}

/** The bit where the MCU that begins at `bit` ends; below 0 if it has an invalid code. */
function passMcu(data: Uint8Array, bit: number, blocks: Block[]): number {
  let at = bit;
  for (let b = 0; b < blocks.length; b++) {
    const { dc, ac } = blocks[b] as Block;
    let entry = dc.one[windowAt(data, at)] as number;
    if (entry === 0) entry = readLong(dc, data, at, false);
    if (entry < 0) return -1;
    at += entry & 31;
    const { several, one } = ac;
    for (let k = 1; k < COEFFICIENTS; ) {
      const window = windowAt(data, at);
      entry = several[window] as number;
      if (k + ((entry >> 5) & 127) + (entry >> 12) > COEFFICIENTS) entry = one[window] as number;
      if (entry === 0) entry = readLong(ac, data, at, true);
      if (entry < 0) return -1;
      at += entry & 31;
      if ((entry & END) !== 0) break;
      k += (entry >> 5) & 127;
      if (k > COEFFICIENTS) return -1;
    }
  }
  return at;
}

/** The next bits, as many as index a table. */
function windowAt(data: Uint8Array, bit: number): number {
  const byte = bit >> 3;
  const three = ((data[byte] as number) << 16) | ((data[byte + 1] as number) << 8) | (data[byte + 2] as number);
  return (three >> (24 - WINDOW - (bit & 7))) & ((1 << WINDOW) - 1);
}

/** Reads a code longer than the table's window; below 0 if there is no such code. */
function readLong({ limits, offsets, symbols }: HuffmanTable, data: Uint8Array, bit: number, ac: boolean): number {
  const high = windowAt(data, bit) << (16 - WINDOW);
  const code = high | (windowAt(data, bit + WINDOW) >> (2 * WINDOW - 16));
  for (let length = 1; length <= 16; length++) {
    const short = code >> (16 - length);
    if (short >= (limits[length] as number)) continue;
    return toEntry(symbols[(offsets[length] as number) + short] as number, length, ac);
  }
  return -1;
}
