import { execFileSync, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { posix } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { inRepository, readText } from './repository.ts';

export interface Probe {
  httpGet: { path: string; port: string | number };
  periodSeconds: number;
  failureThreshold: number;
}

export interface Container {
  name: string;
  image: string;
  command?: string[];
  ports: { name: string; containerPort: number }[];
  env: { name: string; value?: string; valueFrom?: { secretKeyRef: { name: string; key: string } } }[];
  resources: Record<'requests' | 'limits', { cpu: string; memory: string }>;
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop: { exec: { command: string[] } } };
  securityContext: {
    allowPrivilegeEscalation: boolean;
    readOnlyRootFilesystem: boolean;
    capabilities: { drop: string[] };
  };
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
}

export interface PodSpec {
  nodeSelector?: Record<string, string>;
  priorityClassName: string;
  terminationGracePeriodSeconds: number;
  automountServiceAccountToken: boolean;
  securityContext: { runAsNonRoot: boolean; runAsUser: number; seccompProfile: { type: string } };
  containers: Container[];
  initContainers?: Container[];
  volumes: { name: string; configMap?: { name: string }; secret?: { secretName: string }; emptyDir?: object }[];
}

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  data?: Record<string, string>;
  spec?: unknown;
}

interface Strategy {
  type: string;
  rollingUpdate?: { maxSurge: number; maxUnavailable: number };
}

export interface Workload extends Manifest {
  spec: {
    selector: { matchLabels: Record<string, string> };
    replicas?: number;
    strategy?: Strategy;
    updateStrategy?: Strategy;
    template: { metadata: { labels: Record<string, string> }; spec: PodSpec };
  };
}

export const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
export const withoutKubectl = hasKubectl ? '' : ' (SKIPPED: there is no kubectl on the PATH)';
if (!hasKubectl)
  console.warn('kubectl is not on the PATH: no Kustomize build is checked, only the files as they stand');

export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors[0]) throw document.errors[0];
    return document.toJS() as Manifest;
  });
}

/** The documents as `kubectl apply -k` would send them. */
export function buildManifests(directory: string): Manifest[] {
  return parseManifests(execFileSync('kubectl', ['kustomize', inRepository(directory)], { encoding: 'utf8' }));
}

/** The documents in the files that a kustomization lists, before any change by Kustomize. */
export function readManifests(directory: string): Manifest[] {
  const [kustomization] = parseManifests(readText(`${directory}/kustomization.yaml`)) as unknown as [
    { resources?: string[] },
  ];
  return (kustomization.resources ?? []).flatMap((resource) => {
    const path = posix.join(directory, resource);
    return statSync(inRepository(path)).isDirectory() ? readManifests(path) : parseManifests(readText(path));
  });
}

export const workloadsOf = (manifests: Manifest[]) =>
  manifests.filter(({ kind }) => ['DaemonSet', 'Deployment', 'StatefulSet'].includes(kind)) as Workload[];

export function findManifest(manifests: Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (!found) throw new Error(`there is no ${kind} named ${name}`);
  return found;
}
