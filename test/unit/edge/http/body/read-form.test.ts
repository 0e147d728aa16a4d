import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { readForm } from '../../../../../services/edge/http/body/read-form.ts';
import { flatPng } from '../../../../support/tiny-bundle.ts';

/** What is claimed while a form with that picture is read. */
async function claimsOf(picture: Buffer | string): Promise<number[]> {
  const form = Buffer.concat([
    Buffer.from('--x\r\ncontent-disposition: form-data; name=image\r\n\r\n'),
    Buffer.from(picture as string),
    Buffer.from('\r\n--x--\r\n'),
  ]);
  const request = Object.assign(Readable.from([form]), { headers: {} }) as unknown as IncomingMessage;
  const claims: number[] = [];
  await readForm(request, {
    type: 'multipart/form-data; boundary=x',
    most: 100_000,
    options: [],
    claim: (bytes) => claims.push(bytes),
    signal: new AbortController().signal,
  });
  return claims;
}

test('form: base64 is counted as bytes, text and value before it is decoded, a file is not', async () => {
  const picture = await flatPng([1, 2, 3]);
  const base64 = picture.toString('base64');
  expect(await claimsOf(picture)).toEqual([]);
  expect(await claimsOf(base64)).toEqual([3 * base64.length]);
});
