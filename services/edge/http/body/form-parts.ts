import type { BusboyFileStream } from '@fastify/busboy';
import { AppError } from '../../../../shared/request/errors.ts';
import { ENOUGH_BYTES, refuseOthers } from '../../../../shared/wire/media-type.ts';

const PICTURES = ['image', 'file'];
const MAX_OPTION = 1000;

interface PartsOptions {
  /** The most bytes that the picture may have. */
  most: number;
  /** Names of the fields that are read. */
  options: string[];
  /** Ends the reading of the form. */
  fail(error: AppError): void;
}

/** Collects the parts of a form as they arrive. */
export class Parts {
  readonly #options: PartsOptions;
  readonly #pictures: Buffer[][] = [];
  readonly #fields: Record<string, string> = {};
  readonly #others: string[] = [];

  constructor(options: PartsOptions) {
    this.#options = options;
  }

  read(name: string | undefined, part: BusboyFileStream): void {
    part.on('error', (cause) => this.#options.fail(unreadable(cause)));
    if (name !== undefined && PICTURES.includes(name)) this.#readPicture(part);
    else if (name !== undefined && this.#options.options.includes(name)) this.#readOption(name, part);
    else {
      this.#others.push(String(name).slice(0, 40));
      part.resume();
    }
  }

  /** Throws AppError `empty-body`. */
  picture(): Buffer {
    const [chunks] = this.#pictures;
    if (chunks) return Buffer.concat(chunks);
    const others = this.#others.slice(0, 5).join(', ');
    const seen = others === '' ? 'it has no other part either' : `it has ${others}`;
    throw new AppError('empty-body', `the form has no picture in a part named 'image' or 'file'; ${seen}`);
  }

  /** The options, without those that are empty. */
  filled(): Record<string, string> {
    return Object.fromEntries(Object.entries(this.#fields).filter(([, value]) => value !== ''));
  }

  #readPicture(part: BusboyFileStream): void {
    const { most, fail } = this.#options;
    const chunks: Buffer[] = [];
    let length = 0;
    part.on('limit', () =>
      fail(new AppError('payload-too-large', `the picture has more than ${most} bytes (ASK_MAX_BODY_BYTES)`)),
    );
    part.on('data', (chunk: Buffer) => {
      if (length === 0 && this.#pictures.push(chunks) > 1) {
        fail(new AppError('too-many-pictures', "send one picture in each request, as the part 'image' or 'file'"));
      }
      const before = length;
      chunks.push(chunk);
      length += chunk.length;
      if (before < ENOUGH_BYTES && length >= ENOUGH_BYTES) this.#check(Buffer.concat(chunks, ENOUGH_BYTES));
    });
  }

  /** Fails if the picture has a known format that is not accepted. */
  #check(beginning: Buffer): void {
    try {
      refuseOthers(beginning);
    } catch (error) {
      this.#options.fail(error as AppError);
    }
  }

  #readOption(name: string, part: BusboyFileStream): void {
    const { fail } = this.#options;
    const fields = this.#fields;
    if (Object.hasOwn(fields, name))
      fail(new AppError('invalid-parameter', `the form has two fields '${name}'; send one`));
    fields[name] = '';
    part.setEncoding('utf8');
    part.on('data', (text: string) => {
      fields[name] += text;
      if ((fields[name]?.length ?? 0) > MAX_OPTION)
        fail(new AppError('invalid-parameter', `the field '${name}' is too long`));
    });
  }
}

export function unreadable(cause: Error): AppError {
  return new AppError('invalid-body', `the form cannot be read: ${cause.message}`, { cause });
}
