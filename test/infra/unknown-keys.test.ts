import { expect, test } from 'vitest';
import { findManifest, readManifests, type Workload } from '../support/infra/manifests.ts';
import { unknownKeys } from '../support/infra/unknown-keys.ts';

const edge = () => structuredClone(findManifest(readManifests('infra/k3s/base'), 'DaemonSet', 'edge')) as Workload;

const misspelt: { what: string; path: string; spoil: (workload: Workload) => void }[] = [
  {
    what: 'a probe',
    path: 'DaemonSet/edge.spec.template.spec.containers[0].livenesProbe',
    spoil: ({ spec }) => Object.assign(spec.template.spec.containers[0] ?? {}, { livenesProbe: { httpGet: {} } }),
  },
  {
    what: 'a key of a probe',
    path: 'DaemonSet/edge.spec.template.spec.containers[0].livenessProbe.periodSecond',
    spoil: ({ spec }) => Object.assign(spec.template.spec.containers[0]?.livenessProbe ?? {}, { periodSecond: 1 }),
  },
  {
    what: 'a key of the pod',
    path: 'DaemonSet/edge.spec.template.spec.terminationGracePeriod',
    spoil: ({ spec }) => Object.assign(spec.template.spec, { terminationGracePeriod: 30 }),
  },
  {
    what: 'a key of the workload',
    path: 'DaemonSet/edge.spec.strategy',
    spoil: ({ spec }) => Object.assign(spec, { strategy: {} }),
  },
];

test.each(misspelt)(
  'unknown keys: $what that Kubernetes does not know is reported with its path',
  ({ path, spoil }) => {
    const workload = edge();
    expect(unknownKeys(workload)).toEqual([]);
    spoil(workload);
    expect(unknownKeys(workload)).toEqual([path]);
  },
);

test('unknown keys: a kind without a table is reported', () => {
  expect(unknownKeys({ kind: 'Sevice', metadata: { name: 'edge' } })).toHaveLength(1);
});
