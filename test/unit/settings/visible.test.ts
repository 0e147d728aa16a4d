import { expect, test } from 'vitest';
import { makeLinesVisible, makeStackVisible, makeVisible } from '../../../shared/settings/visible.ts';

test('visible: what steers a terminal, ends a line or turns its direction is written out', () => {
  expect(makeVisible('a\x1b[2J\rb\nc\u009bd\u2028e\u202ef\u200bg é 日本')).toBe(
    'a\\u{1b}[2J\\rb\\nc\\u{9b}d\\u{2028}e\\u{202e}f\\u{200b}g é 日本',
  );
  expect(makeVisible('abcdef', 3)).toBe('abc...');
});

test('visible: a message of several lines keeps them, and a stack those of its calls and causes alone', () => {
  expect(makeLinesVisible('a\r\nb\tc\nd')).toBe('a\\r\nb\\tc\nd');
  const stack = 'Error: x\nforged\n    at f (a.ts:1:2)\ncaused by: Error: y\nforged\n    at g (b.ts:1:2)';
  expect(makeStackVisible(stack)).toBe(
    'Error: x\\nforged\n    at f (a.ts:1:2)\ncaused by: Error: y\\nforged\n    at g (b.ts:1:2)',
  );
});
