import { describe, expect, test } from 'vitest';
import {
  buildManifests,
  findManifest,
  hasKubectl,
  type Manifest,
  withoutKubectl,
  workloadsOf,
} from '../support/infra/manifests.ts';
import { runBlock } from '../support/infra/readme-commands.ts';
import { readText } from '../support/infra/repository.ts';

const build = (directory: string) => (hasKubectl ? buildManifests(directory) : []);

const podsOf = (manifests: Manifest[]) => workloadsOf(manifests).map(({ spec }) => spec.template.spec);

const secretNamesOf = (manifests: Manifest[]) =>
  podsOf(manifests)
    .flatMap(({ containers }) => containers)
    .flatMap(({ env }) => env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef.name ?? []));

/** The variables that a configuration of the broker takes from its environment: those that begin with NATS_. */
const variablesOf = (config: string) => [...config.matchAll(/: \$(NATS_\w+)/g)].map(([, name]) => name).sort();

describe.runIf(hasKubectl)(`overlays: what Kustomize generates${withoutKubectl}`, () => {
  const base = build('infra/k3s/base');
  const local = build('infra/k3s/overlays/local');
  const tls = build('infra/k3s/overlays/tls');

  test.each([
    ['base', base],
    ['local', local],
    ['tls', tls],
  ])('%s brings its namespace and classes of priority, and puts everything else into it', (_, manifests) => {
    const brought = manifests.flatMap(({ kind }) => (['Namespace', 'PriorityClass'].includes(kind) ? kind : []));
    expect(brought).toEqual(['Namespace', 'PriorityClass', 'PriorityClass', 'PriorityClass']);
    for (const { kind, metadata } of manifests) {
      if (kind === 'PriorityClass') continue; // belongs to the whole cluster
      expect(metadata.namespace ?? metadata.name, `${kind}/${metadata.name}`).toBe('ask-the-expert');
    }
  });

  test.each([
    ['base', base, 'nats.conf'],
    ['local', local, 'nats.conf'],
    ['tls', tls, 'nats-tls.conf'],
  ])('%s mounts the very files that the tests start a broker with', (_, manifests, started) => {
    const config = manifests.find(({ kind }) => kind === 'ConfigMap');
    expect(config?.data).toEqual({
      'nats.conf': readText('infra/nats/nats.conf'),
      'nats-tls.conf': readText('infra/nats/nats-tls.conf'),
      'permissions.conf': readText('infra/nats/permissions.conf'),
    });
    const [nats] = workloadsOf([findManifest(manifests, 'Deployment', 'nats')]);
    const [container] = nats?.spec.template.spec.containers ?? [];
    const mount = container?.volumeMounts.find(({ mountPath }) => mountPath === '/etc/nats');
    const volume = nats?.spec.template.spec.volumes.find(({ name }) => name === mount?.name);
    expect(volume?.configMap?.name).toBe(config?.metadata.name);
    expect(container?.command).toContain(`/etc/nats/${started}`);
    const { env = [] } = container ?? {};
    expect(env.map(({ name }) => name).sort()).toEqual(variablesOf(readText(`infra/nats/${started}`)));
  });

  test('the base names the secret and does not hold it', () => {
    expect(new Set(secretNamesOf(base))).toEqual(new Set(['nats-passwords']));
    expect(base.filter(({ kind }) => kind === 'Secret')).toEqual([]);
  });

  test('the local overlay brings the secret, with passwords that nats-server reads as text', () => {
    const [secret, ...others] = local.filter(({ kind }) => kind === 'Secret');
    expect(others).toEqual([]);
    expect(new Set(secretNamesOf(local))).toEqual(new Set([secret?.metadata.name]));
    expect(Object.keys(secret?.data ?? {}).sort()).toEqual(['edge', 'expert']);
    for (const encoded of Object.values(secret?.data ?? {})) {
      expect(Buffer.from(encoded, 'base64').toString()).toMatch(/^[A-Za-z][\w-]*$/);
    }
  });

  test('the local overlay runs on one node without labels', () => {
    for (const pod of podsOf(base)) expect(pod).toHaveProperty('nodeSelector');
    for (const pod of podsOf(local)) expect(pod).not.toHaveProperty('nodeSelector');
  });

  test('the tls overlay holds no secret, no password, and uses what the commands of the README make', () => {
    expect(tls.filter(({ kind }) => kind === 'Secret')).toEqual([]);
    expect(JSON.stringify(podsOf(tls))).not.toMatch(/password/i);
    const made = runBlock('sh infra/nats/certificate.sh').secrets;
    const mounted = podsOf(tls).flatMap(({ volumes }) => volumes.flatMap(({ secret }) => secret?.secretName ?? []));
    expect(new Set([...secretNamesOf(tls), ...mounted])).toEqual(new Set([...made.keys(), 'api-keys']));
    expect(Object.fromEntries(made)).toEqual({
      'nats-tls': ['tls.crt', 'tls.key'],
      'nats-nkeys': ['edge', 'expert'],
      'nats-edge': ['ca.crt', 'user.nk'],
      'nats-expert': ['ca.crt', 'user.nk'],
    });
  });
});
