import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { decodeBase64, explainBase64 } from '../../services/edge/http/body/base64.ts';
import { kindOf } from '../../services/edge/load/body-kind.ts';
import { decodePicture } from '../../shared/imaging/codec.ts';
import { decimal } from '../../shared/settings/decimal.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { decodeRequest, encodeRequest } from '../../shared/wire/expert-protocol.ts';

/**
 * Texts made to send a regular expression back and forth, so long that one which takes more than linear time for them
 * would not be done within the limit of a test.
 */
const LONG = 2_000_000;
const rule = { side: 8, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] } as const;

describe('regular expressions: long texts are refused in linear time', () => {
  test.each([
    ...['A'.repeat(LONG - 3), `${'A'.repeat(LONG)}=A==`, '='.repeat(LONG), `${'A='.repeat(LONG / 2)}`],
    ...[
      `A${' '.repeat(LONG)}A`,
      `A${' \t'.repeat(LONG / 2)}\n!`,
      `${'\r\n'.repeat(LONG / 2)}!`,
      `${'-_'.repeat(LONG / 2)}!`,
    ],
    ...[`data:${';'.repeat(LONG)}`, `data:${';base64'.repeat(LONG / 7)}`, `data:${'; '.repeat(LONG / 2)},AAAA`],
    ...[`data:;base64,${'%2'.repeat(LONG / 2)}`, `http${'s:'.repeat(LONG / 2)}`],
  ])('the base64 of a picture, %#', (text) => {
    expect(decodeBase64(text)).toBe(undefined);
    expect(explainBase64(text)).toMatch(/^is /);
  });

  test.each([
    `multipart${' '.repeat(LONG)}`,
    `application/${'+'.repeat(LONG)}`,
    `${' '.repeat(LONG)}/json`,
    `application/${'+json '.repeat(LONG / 6)}x;`,
  ])('the type of a body, %#', (type) => {
    expect(kindOf(type)).toBe('file');
  });

  test.each([' '.repeat(LONG), '<'.repeat(LONG), '<svg'.repeat(LONG / 4), `<${' <svgx'.repeat(LONG / 6)}`])(
    'what may be SVG, %#',
    async (text) => {
      const decoded = decodePicture(Buffer.from(text), { ...rule, background: [...rule.background] }, 1e6);
      await expect(decoded).rejects.toMatchObject({ code: 'not-an-image' });
    },
  );

  test.each([
    `image/x-rgb8;${' '.repeat(LONG)}`,
    `image/x-rgb8; width=1;${' '.repeat(LONG)}`,
    `image/x-rgb8; width=1; height=${'1'.repeat(LONG)}`,
  ])('the layout of pixels, %#', (layout) => {
    const message = encodeRequest({
      requestId: '',
      deadlineMs: 1,
      body: { bytes: new Uint8Array(), type: 'image/png' },
    });
    message.headers['Ask-Payload'] = layout;
    expect(() => decodeRequest(message)).toThrow('Ask-Payload');
    message.headers['Ask-Deadline-Ms'] = `${'1'.repeat(LONG)}x`;
    expect(() => decodeRequest(message)).toThrow('Ask-Deadline-Ms');
  });

  test.each([`${'1'.repeat(LONG)}x`, `1.${'1'.repeat(LONG)}.`, `-${'-1'.repeat(LONG / 2)}`])('a number, %#', (text) => {
    expect(decimal(z.number()).safeParse(text).success).toBe(false);
  });

  test.each([
    ['NATS_URL', `nats://${'a'.repeat(LONG)}@`],
    ['NATS_URL', `${'nats://a,'.repeat(LONG / 9)}@`],
    ['NATS_URL', `${'nats:'.repeat(LONG / 5)}@`],
    ['ASK_EXPERTS', `${'a,'.repeat(LONG / 2)}@`],
    ['ASK_EXECUTION_PROVIDERS', `${'a'.repeat(LONG)},`],
  ])('the setting %s, %#', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(name);
  });
});
