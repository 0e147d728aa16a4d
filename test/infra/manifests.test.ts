import { dirname } from 'node:path/posix';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Config, readConfig } from '../../shared/settings/settings.ts';
import {
  buildManifests,
  hasKubectl,
  type Manifest,
  readManifests,
  withoutKubectl,
  workloadsOf,
} from '../support/infra/manifests.ts';
import { bytesOf } from '../support/infra/quantities.ts';
import { packageJson } from '../support/infra/repository.ts';
import { unknownKeys } from '../support/infra/unknown-keys.ts';

/** How a service joins the bus: its settings, the secrets in its environment, and those that it mounts. */
type Joining = (service: string) => { settings: Partial<Config>; variables: object[]; mounted: string[] };

const byPassword: Joining = (service) => ({
  settings: { NATS_URL: 'nats://nats:4222', ASK_NATS_USER: service },
  variables: [{ name: expect.stringMatching(/^nats-passwords/), key: service }],
  mounted: [],
});

const byKey: Joining = (service) => ({
  settings: {
    NATS_URL: 'tls://nats:4222',
    ASK_NATS_CA: `/etc/nats-${service}/ca.crt`,
    ASK_NATS_NKEY_FILE: `/etc/nats-${service}/user.nk`,
  },
  variables: [],
  mounted: [`nats-${service}`],
});

const built = (directory: string, joining: Joining) => ({
  source: `kubectl kustomize ${directory}${withoutKubectl}`,
  available: hasKubectl,
  load: () => buildManifests(directory),
  joining,
});

const sources: { source: string; available: boolean; load: () => Manifest[]; joining: Joining }[] = [
  {
    source: 'the files of the base',
    available: true,
    load: () => readManifests('infra/k3s/base'),
    joining: byPassword,
  },
  built('infra/k3s/base', byPassword),
  built('infra/k3s/overlays/local', byPassword),
  built('infra/k3s/overlays/tls', byKey),
];

for (const { source, available, load, joining } of sources) {
  describe.runIf(available)(`manifests: ${source}`, () => {
    const manifests = available ? load() : [];
    const workloads = workloadsOf(manifests);
    const containers = workloads.flatMap(({ spec }) =>
      [...spec.template.spec.containers, ...(spec.template.spec.initContainers ?? [])].map((container) => ({
        name: container.name,
        container,
        pod: spec.template.spec,
      })),
    );

    test('holds the edge on every node, the experts and the broker', () => {
      expect(workloads.map(({ kind, metadata }) => `${kind}/${metadata.name}`).sort()).toEqual([
        'DaemonSet/edge',
        'Deployment/expert',
        'Deployment/nats',
      ]);
    });

    test('has no key that Kubernetes does not know', () => {
      expect(manifests.flatMap(unknownKeys)).toEqual([]);
    });

    test('denies by default all traffic in and out', () => {
      const deny = manifests.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'default-deny');
      expect(deny?.spec).toEqual({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
    });

    test('opens only ports that pods listen on, and DNS, to and from pods that exist', () => {
      const policies = JSON.stringify(manifests.filter(({ kind }) => kind === 'NetworkPolicy'));
      const ports = [...policies.matchAll(/"port":(\d+)/g)].map(([, port]) => Number(port));
      const listened = containers.flatMap(({ container }) => container.ports.map(({ containerPort }) => containerPort));
      expect([...listened, 53]).toEqual(expect.arrayContaining(ports));
      const names = [...policies.matchAll(/"app\.kubernetes\.io\/name":"(\w+)"|"values":\[(.*?)\]/g)];
      const selected = new Set(names.flatMap(([, name, list]) => name ?? JSON.parse(`[${list}]`)));
      expect([...selected].sort()).toEqual(workloads.map(({ metadata }) => metadata.name).sort());
    });

    test.each(workloads)('selects its own pods: $metadata.name', ({ spec }) => {
      expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels);
    });

    test.each(containers)('container $name asks for and is limited in processor and memory', ({ container }) => {
      const { requests, limits } = container.resources;
      for (const { cpu, memory } of [requests, limits]) {
        expect(cpu).toMatch(/^\d+m?$/);
        expect(bytesOf(memory)).toBeGreaterThan(0);
      }
      expect(bytesOf(limits.memory)).toBeGreaterThanOrEqual(bytesOf(requests.memory));
    });

    test.each(containers)('container $name has three distinct probes on a port of its own', ({ container }) => {
      const probes = [container.startupProbe, container.readinessProbe, container.livenessProbe];
      expect(new Set(probes.map((probe) => JSON.stringify(probe))).size).toBe(3);
      for (const probe of probes) {
        expect(container.ports.map(({ name }) => name)).toContain(probe?.httpGet.port);
      }
    });

    test.each(containers)('container $name runs without privileges', ({ container, pod }) => {
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(pod.securityContext.runAsUser).toBeGreaterThan(0);
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    });

    test.each(containers)(
      'container $name can write to /tmp and mounts only volumes that exist',
      ({ container, pod }) => {
        const temporary = container.volumeMounts.find(({ mountPath }) => mountPath === '/tmp');
        expect(pod.volumes.find(({ name }) => name === temporary?.name)?.emptyDir).toBeDefined();
        for (const { name } of container.volumeMounts) expect(pod.volumes.map((volume) => volume.name)).toContain(name);
      },
    );

    test.each(containers)('container $name has a pinned image', ({ container }) => {
      expect(container.image).toMatch(/^[\w./-]+:\d+\.\d+\.\d+(-\w+)?$/);
    });

    describe.each(containers.filter(({ name }) => name !== 'nats'))('the service $name', ({ name, container, pod }) => {
      let config: Config;
      beforeAll(() => {
        config = readConfig(Object.fromEntries(container.env.map((entry) => [entry.name, entry.value ?? 'secret'])));
      });
      const preStopSeconds = Number(container.lifecycle?.preStop.exec.command[1] ?? 0);

      test('runs the image of this version', () => {
        expect(container.image).toBe(`ask-the-expert/${name}:${packageJson.version}`);
      });

      test('sets only settings that exist and accept their value', () => {
        expect(Object.keys(config)).toEqual(expect.arrayContaining(container.env.map((entry) => entry.name)));
      });

      test('listens where the probes ask', () => {
        expect(config.HOST).toBe('0.0.0.0');
        expect(container.ports).toEqual([
          { name: 'http', containerPort: name === 'edge' ? config.PORT : config.ASK_HEALTH_PORT },
        ]);
        expect(container.livenessProbe?.httpGet.path).toBe('/healthz');
        expect(container.readinessProbe?.httpGet.path).toBe('/readyz');
      });

      test('joins the bus in its own role, with its own secret only', () => {
        const { settings, variables, mounted } = joining(name);
        expect(config).toMatchObject(settings);
        expect(container.env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef ?? [])).toEqual(variables);
        const secrets = pod.volumes.flatMap(({ secret }) => secret?.secretName ?? []);
        expect(secrets.filter((secret) => secret !== 'api-keys')).toEqual(mounted);
        const folders = container.volumeMounts.flatMap((mount) =>
          mounted.includes(mount.name) ? mount.mountPath : [],
        );
        expect(folders).toEqual(mounted.map((secret) => `/etc/${secret}`));
      });

      test('serves callers with a key from a mounted Secret, or says that anyone may call', () => {
        const { ASK_API_KEYS_FILE: path, ASK_ALLOW_ANONYMOUS: anonymous } = config;
        expect([path !== undefined, anonymous]).toEqual(
          name === 'expert' ? [false, false] : source.includes('local') ? [false, true] : [true, false],
        );
        const secrets = pod.volumes.filter(({ secret }) => secret?.secretName === 'api-keys');
        const mounts = container.volumeMounts.filter((mount) => secrets.some((volume) => volume.name === mount.name));
        // Whole folders: a file mounted alone (`subPath`) would never be renewed.
        expect(mounts.map(({ name: _, ...mount }) => mount)).toEqual(
          path === undefined ? [] : [{ mountPath: dirname(path), readOnly: true }],
        );
        expect(secrets).toHaveLength(path === undefined ? 0 : 1);
      });

      test('has time to drain before it is killed', () => {
        expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(preStopSeconds * 1000 + config.ASK_DRAIN_MS);
      });

      test('has memory for what its model processes may hold', () => {
        const held =
          name === 'expert' ? config.ASK_WORKERS * config.ASK_EXPERT_MEMORY_MB * 1e6 : config.ASK_CACHE_BYTES;
        expect(bytesOf(container.resources.limits.memory)).toBeGreaterThan(held);
      });
    });
  });
}
