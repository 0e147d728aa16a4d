import { setImmediate } from 'node:timers/promises';
import type { Damage } from '../../wire/damage.ts';
import { toHuffmanTable } from './huffman.ts';
import type { JpegHeader } from './jpeg-header.ts';
import { standardTables } from './jpeg-tables.ts';
import { type Block, MAX_BLOCKS_OF_MCU, ScanReader } from './scan-reader.ts';

interface ScanReport {
  damage: Damage | undefined;
  /** Share of the picture that is in the file, up to the damage. */
  share: number;
}

const MAX_BLOCKS = 20_000; // about a millisecond

/**
 * Parses the only scan of a Huffman-coded sequential JPEG as a decoder does, and counts: are all blocks there, and
 * nothing else? Decoders report neither what they made up nor what they skipped. Yields to the event loop in between.
 */
export async function examineScan(file: Buffer, header: JpegHeader): Promise<ScanReport> {
  const layout = toLayout(header);
  if (layout === undefined) return { damage: 'unreadable-data', share: 0 };
  const { blocks, total } = layout;
  const reader = new ScanReader(file, header.dataAt);
  const interval = header.restartInterval || total;
  const step = Math.max(1, Math.floor(MAX_BLOCKS / blocks.length));
  let pause = step;
  for (let done = 0, restarts = 0; done < total; ) {
    const end = Math.min(total, interval * (restarts + 1), done + step);
    const found = reader.pass(blocks, end - done);
    done += found;
    if (done < end) return { damage: reader.dry ? 'cut-short' : 'unreadable-data', share: done / total };
    if (done === total) break;
    if (done === interval * (restarts + 1)) {
      const marker = reader.toMarker();
      if (marker === 'data') return { damage: 'spliced', share: done / total };
      if (marker !== 0xd0 + (restarts & 7)) {
        const cut = marker === undefined || marker === 0xd9;
        return { damage: cut ? 'cut-short' : 'spliced', share: done / total };
      }
      reader.skipMarker();
      restarts += 1;
    }
    if (done >= pause) {
      pause = done + step;
      await setImmediate();
    }
  }
  return { damage: hasMore(reader) ? 'spliced' : undefined, share: 1 };
}

/** Whether more picture data follows the last block. */
function hasMore(reader: ScanReader): boolean {
  const isRestart = (marker: number | 'data' | undefined) => Number(marker) >= 0xd0 && Number(marker) <= 0xd7;
  let marker = reader.toMarker();
  if (isRestart(marker)) {
    reader.skipMarker(); // some files end the last interval like the others
    marker = reader.toMarker();
  }
  return marker === 'data' || isRestart(marker);
}

/** The blocks of an MCU, and the number of MCUs in the picture. */
function toLayout(header: JpegHeader): { blocks: Block[]; total: number } | undefined {
  const { width, height, components, scan, tables } = header;
  const alone = scan.length === 1;
  const most = (side: 'across' | 'down') => (alone ? 1 : Math.max(...components.map((component) => component[side])));
  const total = Math.ceil(width / (8 * most('across'))) * Math.ceil(height / (8 * most('down')));
  const table = (id: number, ac: boolean) => {
    const definition = tables.get(id) ?? (tables.size === 0 ? standardTables.get(id) : undefined);
    return definition && toHuffmanTable(definition, ac);
  };
  const blocks: Block[] = [];
  for (const one of scan) {
    const component = components[one.component];
    const [dc, ac] = [table(one.dc, false), table(0x10 + one.ac, true)];
    if (component === undefined || dc === undefined || ac === undefined) return undefined;
    const count = alone ? 1 : component.across * component.down;
    for (let i = 0; i < count; i++) blocks.push({ dc, ac });
  }
  return blocks.length > 0 && blocks.length <= MAX_BLOCKS_OF_MCU && total > 0 ? { blocks, total } : undefined;
}
