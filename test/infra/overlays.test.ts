import { describe, expect, test } from 'vitest';
import {
  buildManifests,
  findManifest,
  hasKubectl,
  type Manifest,
  withoutKubectl,
  workloadsOf,
} from './support/manifests.ts';
import { readText } from './support/repository.ts';

const build = (directory: string) => (hasKubectl ? buildManifests(directory) : []);

const podsOf = (manifests: Manifest[]) => workloadsOf(manifests).map(({ spec }) => spec.template.spec);

const secretNamesOf = (manifests: Manifest[]) =>
  podsOf(manifests)
    .flatMap(({ containers }) => containers)
    .flatMap(({ env }) => env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef.name ?? []));

describe.runIf(hasKubectl)(`what Kustomize generates${withoutKubectl}`, () => {
  const base = build('infra/k3s/base');
  const local = build('infra/k3s/overlays/local');

  test.each([
    ['base', base],
    ['local', local],
  ])('%s puts everything into the namespace', (_, manifests) => {
    for (const { kind, metadata } of manifests) {
      expect(metadata.namespace ?? metadata.name, `${kind}/${metadata.name}`).toBe('ask-the-expert');
    }
  });

  test.each([
    ['base', base],
    ['local', local],
  ])('%s mounts the very files that the tests start a broker with', (_, manifests) => {
    const config = manifests.find(({ kind }) => kind === 'ConfigMap');
    expect(config?.data).toEqual({
      'nats.conf': readText('infra/nats/nats.conf'),
      'permissions.conf': readText('infra/nats/permissions.conf'),
    });
    const [nats] = workloadsOf([findManifest(manifests, 'Deployment', 'nats')]);
    const [container] = nats?.spec.template.spec.containers ?? [];
    const mount = container?.volumeMounts.find(({ mountPath }) => mountPath === '/etc/nats');
    const volume = nats?.spec.template.spec.volumes.find(({ name }) => name === mount?.name);
    expect(volume?.configMap?.name).toBe(config?.metadata.name);
    expect(container?.command).toContain('/etc/nats/nats.conf');
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
});
