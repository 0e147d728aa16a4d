import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../../.cache/tools/', import.meta.url));
const generator = fileURLToPath(new URL('../../.cache/openapi-ts/', import.meta.url));
const places = {
  chromium: '/usr/bin/chromium',
  strace: '/usr/bin/strace',
  promtool: `${cache}usr/bin/promtool`,
  schemathesis: `${cache}bin/schemathesis`,
  'openapi-ts': `${generator}node_modules/@hey-api/openapi-ts/bin/run.js`,
  'openapi-python-client': `${cache}bin/openapi-python-client`,
  'kubernetes-validate': `${cache}bin/kubernetes-validate`,
  python: `${cache}bin/python`,
};

/**
 * Path of a program that `test/tools/install.sh` installs; undefined where that did not run, and says so: the tests
 * that need it are skipped then (`describe.skipIf(!path)`). In CI it throws.
 */
export function findTool(name: keyof typeof places): string | undefined {
  const path = places[name];
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    const advice = `${name} is not at ${path}: run 'bash test/tools/install.sh'`;
    if (process.env.CI) throw new Error(advice);
    process.stderr.write(`SKIPPED: ${advice}; the tests that need it do not run\n`);
    return undefined;
  }
}
