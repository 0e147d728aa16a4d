import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { formatKey, parseKeys } from '../../../shared/settings/key-file.ts';
import { ConfigError } from '../../../shared/settings/settings.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('key file', () => {
  test('names holders by the sha256 of their key, with or without a limit', () => {
    const text = `# cameras\r\n\ncam-1  ${sha256('a')}\r\ncam.2\t${sha256('b')} 2.5 # a slow one\ncam-1 ${sha256('c')}`;
    expect([...parseKeys(text, 'keys')]).toEqual([
      [sha256('a'), { name: 'cam-1', limit: undefined }],
      [sha256('b'), { name: 'cam.2', limit: 2.5 }],
      [sha256('c'), { name: 'cam-1', limit: undefined }],
    ]);
  });

  test.each([
    { name: 'cam-1', limit: undefined },
    { name: 'cam-1', limit: 0.5 },
  ])('%o is read as it is written', (holder) => {
    expect([...parseKeys(formatKey('a', holder), 'keys')]).toEqual([[sha256('a'), holder]]);
  });

  const secret = 'ask_thisIsNoDigestButAKey';
  test.each([
    ['nothing', '# only remarks\n', 'keys: there is no key in it'],
    ['a key instead of its sha256', `\ncam ${secret}`, "keys, line 2: after the name must come the key's sha256"],
    ['a key instead of a name', `${secret}= x`, 'keys, line 1: the name must be'],
    ['a name alone', 'cam', 'line 1: after the name'],
    ['a short sha256', `cam ${sha256('a').slice(1)}`, 'line 1: after the name'],
    ['a limit of 0', `cam ${sha256('a')} 0`, 'line 1: the limit must be'],
    ['a limit without end', `cam ${sha256('a')} ${'9'.repeat(400)}`, 'line 1: the limit must be'],
    ['a limit that is a key', `cam ${sha256('a')} ${secret}`, 'line 1: the limit must be'],
    ['too much', `cam ${sha256('a')} 1 ${secret}`, 'line 1: more than name, sha256 and limit'],
    ['one key twice', `cam ${sha256('a')}\nother ${sha256('a')}`, 'line 2: this sha256 stands on an earlier line'],
  ])('with %s is refused, and the message repeats nothing of it', (_, text, message) => {
    expect(() => parseKeys(text, 'keys')).toThrow(ConfigError);
    expect(() => parseKeys(text, 'keys')).toThrow(message);
    expect(() => parseKeys(text, 'keys')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(secret) }),
    );
  });
});
