import { readFileSync, writeFileSync } from 'node:fs';
import { readArguments } from '../../shared/service/arguments.ts';
import { describeSettings } from '../../shared/settings/help.ts';

const help = 'npm run -s docs: writes the table of settings into services/README.md, from the code';
readArguments({ name: 'docs', help: () => help });

const PAGE = new URL('../../services/README.md', import.meta.url);
const BETWEEN = /(?<=<!-- settings -->\n)[\s\S]*?(?=<!-- \/settings -->)/;

const rows = describeSettings().map(({ name, meaning, fallback }) => `| \`${name}\` | ${meaning} | ${fallback} |\n`);
const last = '| `OTEL_*` | the standard OpenTelemetry settings; without them nothing is traced |  |\n';
const table = ['| setting | meaning | default |\n', '| --- | --- | --- |\n', ...rows, last].join('');
const page = readFileSync(PAGE, 'utf8');
if (!BETWEEN.test(page))
  throw new Error('services/README.md has no place between <!-- settings --> and <!-- /settings -->');
writeFileSync(
  PAGE,
  page.replace(BETWEEN, () => table),
);
