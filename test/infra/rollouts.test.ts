import { describe, expect, test } from 'vitest';
import {
  buildManifests,
  findManifest,
  hasKubectl,
  type Manifest,
  readManifests,
  type Workload,
  withoutKubectl,
  workloadsOf,
} from '../support/infra/manifests.ts';
import { bytesOf, milliOf } from '../support/infra/quantities.ts';

const NODE = 2000;
/** What k3s runs on a node of its own: CoreDNS and metrics-server ask for 100m each, the others for nothing. */
const SYSTEM = 200;

/** Resident memory of the processes at its highest, under load, in bytes. */
const peaks = { edge: 167e6, expert: 302e6, nats: 6e6 };

const sources = [
  { source: 'the files of the base', available: true, load: () => readManifests('infra/k3s/base') },
  ...['base', 'overlays/local', 'overlays/tls'].map((directory) => ({
    source: `kubectl kustomize infra/k3s/${directory}${withoutKubectl}`,
    available: hasKubectl,
    load: () => buildManifests(`infra/k3s/${directory}`),
  })),
];

/** Pods of a workload on a single node while all of it is replaced: Recreate and StatefulSets bring none on top. */
function podsWhileReplaced({ spec }: Workload): number {
  const { replicas = 1, strategy, updateStrategy } = spec;
  return replicas + ((strategy ?? updateStrategy)?.rollingUpdate?.maxSurge ?? 0);
}

const requestOf = ({ spec }: Workload, resource: 'cpu' | 'memory') =>
  spec.template.spec.containers.map(({ resources }) => resources.requests[resource]);

const priorityOf = (manifests: Manifest[], name: string) => {
  const { spec } = workloadsOf(manifests).find(({ metadata }) => metadata.name === name) as Workload;
  return (findManifest(manifests, 'PriorityClass', spec.template.spec.priorityClassName) as { value?: number }).value;
};

for (const { source, available, load } of sources) {
  describe.runIf(available)(`rollouts: ${source}`, () => {
    const manifests = available ? load() : [];
    const workloads = workloadsOf(manifests);

    test('one node of two cores has room for everything, replaced all at once, beside what k3s runs', () => {
      const asked = workloads.map((workload) => {
        const cpu = requestOf(workload, 'cpu').reduce((sum, quantity) => sum + milliOf(quantity), 0);
        return podsWhileReplaced(workload) * cpu;
      });
      expect(asked).toHaveLength(3);
      expect(SYSTEM + asked.reduce((sum, cpu) => sum + cpu, 0)).toBeLessThan(NODE);
    });

    test.each(Object.entries(peaks))(
      '%s asks for the memory that it was seen to take, and not for twice as much',
      (name, peak) => {
        const workload = workloads.find(({ metadata }) => metadata.name === name) as Workload;
        const [memory] = requestOf(workload, 'memory').map(bytesOf) as [number];
        expect(memory).toBeGreaterThan(peak * 1.2);
        expect(memory).toBeLessThan(Math.max(peak * 2.2, 64 * 2 ** 20));
      },
    );

    test('the broker comes before the edge, the edge before the experts, all before pods without a class', () => {
      const values = ['nats', 'edge', 'expert'].map((name) => priorityOf(manifests, name) ?? Number.NaN);
      expect(values).toEqual([...new Set(values)].sort((a, b) => b - a));
      expect(values.at(-1)).toBeGreaterThan(0);
    });

    test('one node can have every label that pods ask for', () => {
      const asked = workloads.flatMap(({ spec }) => Object.entries(spec.template.spec.nodeSelector ?? {}));
      const labels = Object.fromEntries(asked);
      for (const [key, value] of asked) expect(labels[key], key).toBe(value);
    });
  });
}
