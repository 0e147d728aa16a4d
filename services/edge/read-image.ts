import type { FastifyError, FastifyRequest } from 'fastify';
import { AppError } from '../../shared/errors.ts';
import { PIXELS_TYPE, type RawImage, readPixels } from '../../shared/wire.ts';

/**
 * The one image of a request: raw body, multipart field `image`, or JSON `{"image": "<base64>"}`; a raw body may also be
 * pixels. Throws AppError.
 */
export async function readImage(request: FastifyRequest): Promise<Uint8Array | RawImage> {
  if (request.isMultipart()) return readMultipart(request);
  if (request.body instanceof Uint8Array) return readBody(request.headers['content-type'] ?? '', request.body);
  if (request.body === undefined || request.body === null) {
    throw new AppError('empty-body', 'send a JPEG, PNG or WebP image');
  }
  return readJson(request.body);
}

function readBody(type: string, body: Uint8Array): Uint8Array | RawImage {
  if (!type.toLowerCase().startsWith(PIXELS_TYPE)) return body;
  const image = readPixels(type, body);
  if (!image)
    throw new AppError('unsupported-media-type', `expected '${PIXELS_TYPE}; width=W; height=H', got '${type}'`);
  return image;
}

async function readMultipart(request: FastifyRequest): Promise<Uint8Array> {
  try {
    return await readParts(request);
  } catch (error) {
    // What is left of the form must be read away: a caller that writes first and reads later would wait for ever.
    request.raw.unpipe();
    request.raw.resume();
    if ((error as FastifyError).statusCode !== undefined || error instanceof AppError) throw error;
    // The form parser throws bare errors, all of them about what it was given.
    throw new AppError('invalid-body', `the form cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

async function readParts(request: FastifyRequest): Promise<Uint8Array> {
  let image: Buffer | undefined;
  for await (const part of request.parts()) {
    if (part.type !== 'file' || part.fieldname !== 'image') {
      throw new AppError('invalid-body', `unexpected form field '${part.fieldname}', send one file named 'image'`);
    }
    if (image) throw new AppError('invalid-body', "two files named 'image'; send one");
    image = await part.toBuffer();
  }
  if (!image) throw new AppError('empty-body', "the form has no file named 'image'");
  return image;
}

function readJson(body: unknown): Uint8Array {
  const image = typeof body === 'object' && body !== null && 'image' in body ? body.image : undefined;
  if (typeof image !== 'string') {
    throw new AppError('invalid-body', 'the JSON must be {"image": "<base64>"}');
  }
  const bytes = Buffer.from(image, 'base64');
  // Node leaves out what is not base64. To compare is quicker than a regular expression over 20 MB.
  if (bytes.toString('base64') !== image) throw new AppError('invalid-body', 'the field image is not base64');
  return bytes;
}
