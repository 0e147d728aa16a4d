/** The header of a JPEG, up to its first scan. */
export interface JpegHeader {
  /** The frame's marker, 0xc0 to 0xcf: how it is coded. */
  marker: number;
  width: number;
  height: number;
  components: { id: number; across: number; down: number }[];
  /** There is a colour profile. */
  profiled: boolean;
  /** MCUs between two restart markers; 0: no restart markers. */
  restartInterval: number;
  /** The Huffman tables by class and number (0x00 to 0x03, 0x10 to 0x13): 16 counts, then the symbols. */
  tables: Map<number, Buffer>;
  /** Components of the first scan, in its order. */
  scan: { component: number; dc: number; ac: number }[];
  /** Segments with a length before the first scan. */
  segments: Segment[];
  /** Where the first scan's header and its data begin; both within the file. */
  scanAt: number;
  dataAt: number;
}

/** Its begin and end in the file. */
interface Segment {
  marker: number;
  at: number;
  end: number;
}

type JpegKind = 'sequential' | 'progressive' | 'lossless';

export const MAX_SEGMENTS = 2000;
const MAX_FILL = 65_536; // bytes 0xff before markers, all together

/**
 * Follows the segments up to the first scan and skips what is no marker, as decoders do. Undefined for a file without
 * frame and scan, or that ends within the scan's header; 'segments' for one with too many segments before them.
 */
export function readJpegHeader(file: Buffer): JpegHeader | 'segments' | undefined {
  const tables: JpegHeader['tables'] = new Map();
  let frame: Pick<JpegHeader, 'marker' | 'width' | 'height' | 'components'> | undefined;
  let restartInterval = 0;
  let profiled = false;
  let [markers, fill] = [0, 0];
  const segments: Segment[] = [];
  for (let at = file.indexOf(0xff, 2); at >= 0 && at + 4 <= file.length; ) {
    const marker = file[at + 1] as number;
    if (marker === 0xff) {
      at += 1;
      fill += 1;
      if (fill > MAX_FILL) return 'segments';
      continue;
    }
    markers += 1;
    if (markers > MAX_SEGMENTS) return 'segments';
    if (isBare(marker)) {
      at = file.indexOf(0xff, at + 2);
      continue;
    }
    const end = at + 2 + file.readUInt16BE(at + 2);
    const body = file.subarray(at + 4, end);
    if (marker === 0xda) {
      if (end > file.length) return undefined;
      const scan = frame && readScan(body, frame);
      return frame && scan && { ...frame, profiled, restartInterval, tables, segments, scan, scanAt: at, dataAt: end };
    }
    segments.push({ marker, at, end });
    if (isFrame(marker) && body.length >= 6) frame = readFrame(body, marker);
    if (marker === 0xc4) readTables(body, tables);
    if (marker === 0xe2 && body.toString('latin1', 0, 12) === 'ICC_PROFILE\0') profiled = true;
    if (marker === 0xdd && body.length >= 2) restartInterval = body.readUInt16BE(0);
    at = file.indexOf(0xff, end);
  }
  return undefined;
}

export function kindOf({ marker }: JpegHeader): JpegKind {
  if (marker === 0xc2 || marker === 0xca) return 'progressive';
  return marker === 0xc0 || marker === 0xc1 || marker === 0xc9 ? 'sequential' : 'lossless';
}

/** The whole picture is in one scan, so decoders need not hold it. */
export function isOneScan(header: JpegHeader): boolean {
  return kindOf(header) === 'sequential' && header.scan.length === header.components.length;
}

/** Markers without a length. */
function isBare(marker: number): boolean {
  return marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd9);
}

/** SOF0 to SOF15, without the three codes in that range that are other markers. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

function readFrame(body: Buffer, marker: number) {
  const components = Array.from({ length: Math.min(body[5] as number, (body.length - 6) / 3) }, (_, i) => {
    const factors = body[7 + 3 * i] as number;
    return { id: body[6 + 3 * i] as number, across: factors >> 4, down: factors & 15 };
  });
  const [height, width] = [body.readUInt16BE(1), body.readUInt16BE(3)];
  return { marker, width, height, components };
}

function readScan(body: Buffer, { components }: Pick<JpegHeader, 'components'>): JpegHeader['scan'] {
  const count = Math.min(body[0] ?? 0, Math.floor((body.length - 1) / 2));
  return Array.from({ length: count }, (_, i) => {
    const selectors = body[2 + 2 * i] as number;
    const component = components.findIndex(({ id }) => id === body[1 + 2 * i]);
    return { component, dc: selectors >> 4, ac: selectors & 15 };
  });
}

function readTables(body: Buffer, tables: JpegHeader['tables']): void {
  for (let at = 0; at + 17 <= body.length; ) {
    const symbols = body.subarray(at + 1, at + 17).reduce((sum, count) => sum + count, 0);
    tables.set(body[at] as number, body.subarray(at + 1, at + 17 + symbols));
    at += 17 + symbols;
  }
}
