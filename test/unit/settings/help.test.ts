import { expect, test } from 'vitest';
import { describeSettings, helpText } from '../../../shared/settings/help.ts';

test('help: names every setting', () => {
  const help = helpText('usage');
  for (const { name } of describeSettings()) expect(help).toContain(name);
});
