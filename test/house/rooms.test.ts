import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findCircles, type Import, readImports, root } from './imports.ts';

/** From the top floor down: a room imports those below it alone. */
const shared = ['service', 'inference', 'bus', 'imaging', 'policy', 'bundle', 'observe', 'wire', 'settings', 'request'];
const edge = ['http', 'strategies', 'experts', 'keys', 'load'];

const imports = readImports('{shared,services}/**/*.ts');
const lines = (found: Import[]) => found.map(({ from, to }) => `${from} -> ${to}`);
const roomOf = (path: string, house: string) =>
  path.startsWith(`${house}/`) ? path.slice(house.length + 1).split('/')[0] : undefined;

function upwards(house: string, order: string[]): Import[] {
  return imports.filter(({ from, to }) => {
    const [a, b] = [roomOf(from, house), roomOf(to, house)].map((room) => order.indexOf(room ?? ''));
    return (a as number) >= 0 && (b as number) >= 0 && (a as number) > (b as number);
  });
}

describe('rooms: imports go down', () => {
  test('in shared', () => {
    expect(lines(upwards('shared', shared))).toEqual([]);
  });

  test('shared has no other rooms, and no file outside one', () => {
    const rooms = new Set(imports.map(({ from }) => roomOf(from, 'shared')).filter((room) => room !== undefined));
    expect([...rooms].filter((room) => !shared.includes(room))).toEqual([]);
  });

  test('in the edge', () => {
    expect(lines(upwards('services/edge', edge))).toEqual([]);
  });

  test('shared imports no service', () => {
    expect(lines(imports.filter(({ from, to }) => from.startsWith('shared/') && to.startsWith('services/')))).toEqual(
      [],
    );
  });
});

test('rooms: no circles', () => {
  expect(findCircles(imports).map((circle) => circle.join(' -> '))).toEqual([]);
});

test('services: only the local one imports others, and the command line its public entry', () => {
  const across = imports.filter(({ from, to }) => {
    const [a, b] = [from, to].map((path) => /^services\/(\w+)\//.exec(path)?.[1]);
    return a !== undefined && b !== undefined && a !== b;
  });
  const allowed = ({ from, to }: Import) =>
    from.startsWith('services/local/') || (from.startsWith('services/cli/') && to === 'services/local/api.ts');
  expect(lines(across.filter((one) => !allowed(one)))).toEqual([]);
});

test('settings: no other room reads the environment', () => {
  const readers = globSync('{shared,services}/**/*.ts', { cwd: root })
    .sort()
    .filter((file) =>
      /\bprocess\.env\b(?!\.\w+ = )|\benv\b.*from 'node:process'/.test(readFileSync(join(root, file), 'utf8')),
    );
  expect(readers.filter((file) => !file.startsWith('shared/settings/'))).toEqual([]);
  expect(readers).not.toEqual([]);
});

test('packages: each of these has one importer', () => {
  const importers = (name: string) => [...new Set(imports.filter(({ to }) => to === name).map(({ from }) => from))];
  expect(importers('onnxruntime-node')).toEqual(['shared/inference/onnxruntime.ts']);
  expect(importers('onnxruntime-node').length).toBe(1);
});
