import { readFile, stat } from 'node:fs/promises';
import { dirname, relative, sep } from 'node:path';
import type { Manifest } from '../../shared/bundle/manifest.ts';
import type { PictureRule } from '../../shared/bundle/model.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { encodePixels, fitPixels } from '../../shared/imaging/codec.ts';
import { createDecoder } from '../../shared/imaging/decoder.ts';
import { AppError } from '../../shared/request/errors.ts';
import { nearest } from '../../shared/settings/nearest.ts';
import type { Pixels } from '../../shared/wire/picture.ts';
import { walkPictures } from './find-pictures.ts';
import { type LabelledPixels, readRecords } from './records.ts';
import { InputError } from './usage.ts';

/** A picture with its class. */
export interface Labelled {
  label: number;
  /** The generalist's pixels, the file that a caller would send, and the picture by another model's rule. */
  load(): Promise<{ pixels: Pixels; picture: Uint8Array; view(rule: PictureRule): Promise<Pixels> }>;
}

const MAX_NAMED = 10;

/**
 * The pictures of a folder with one subfolder per class, or of a file of CIFAR-100 records; at most `limit`. Throws
 * UsageError and InputError.
 */
export async function readLabelled(
  path: string,
  manifest: Manifest,
  { limit, maxPixels }: { limit: number; maxPixels: number },
): Promise<Labelled[]> {
  if (await isFolder(path)) return readFolders(path, manifest, { limit, maxPixels });
  const records = await readRecords(path, manifest.labels.length, limit);
  const { rule } = viewCascade(manifest).generalist;
  return records.map((record) => fromRecord(record, rule));
}

export async function isFolder(path: string): Promise<boolean> {
  const kind = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new InputError(
      `--data ${path} cannot be read: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
    );
  });
  return kind.isDirectory();
}

function fromRecord({ pixels, label }: LabelledPixels, rule: PictureRule): Labelled {
  const load = async () => ({
    pixels: await fitPixels(pixels, rule),
    picture: (await encodePixels(pixels, { format: 'png' })).bytes,
    view: (other: PictureRule) => fitPixels(pixels, other),
  });
  return { label, load };
}

/**
 * A picture's class is the nearest folder above it that is named as a class. Classes alternate, so that a part has all
 * of them.
 */
async function readFolders(
  root: string,
  manifest: Manifest,
  { limit, maxPixels }: { limit: number; maxPixels: number },
): Promise<Labelled[]> {
  const { labels } = manifest;
  const { rule } = viewCascade(manifest).generalist;
  const classes = new Map(labels.map((name, index) => [plain(name), index]));
  const found = new Map(labels.map((_, label): [number, string[]] => [label, []]));
  const unknown = new Set<string>();
  for await (const path of walkPictures(root)) {
    const folders = relative(root, dirname(path)).split(sep);
    const named = folders.findLast((folder) => classes.has(plain(folder)));
    if (named === undefined) unknown.add(folders.at(-1) as string);
    else found.get(classes.get(plain(named)) as number)?.push(path);
  }
  if (unknown.size > 0) throw new InputError(`${root}: ${explain([...unknown], labels)}`);
  const decode = createDecoder(maxPixels);
  const inTurn = [...found].flatMap(([label, paths]) => paths.map((path, turn) => ({ label, path, turn })));
  if (inTurn.length === 0)
    throw new InputError(`${root} holds no picture; it must have a folder of them for each class`);
  return inTurn
    .sort((a, b) => a.turn - b.turn)
    .slice(0, limit)
    .map(({ label, path }) => ({ label, load: () => loadFile(path, rule, decode) }));
}

const noDeadline = { signal: new AbortController().signal, left: Infinity, milliseconds: Infinity };

async function loadFile(path: string, rule: PictureRule, decode: ReturnType<typeof createDecoder>) {
  const picture = await readFile(path);
  const view = (other: PictureRule) => decode(picture, other, noDeadline);
  const pixels = await view(rule).catch((error: Error) => {
    throw error instanceof AppError ? new InputError(`${path}: ${error.code}: ${error.message}`) : error;
  });
  return { pixels, picture, view };
}

function explain(unknown: string[], labels: string[]): string {
  const lines = unknown.slice(0, MAX_NAMED).map((name) => {
    if (name === '') return 'pictures lie beside the folders of the classes, in none of them';
    const likely = nearest(name, labels);
    return `no class is named '${name}'${likely.length > 0 ? ` (did you mean ${likely.join(', ')}?)` : ''}`;
  });
  if (unknown.length > MAX_NAMED) lines.push(`and ${unknown.length - MAX_NAMED} more folders are no class's`);
  return lines.length === 1 ? (lines[0] as string) : `\n  ${lines.join('\n  ')}`;
}

/** Folds case, separators and Unicode forms, which people and file systems write differently. */
function plain(name: string): string {
  return name
    .normalize('NFC')
    .toLowerCase()
    .replace(/[\s_-]+/g, '_');
}
