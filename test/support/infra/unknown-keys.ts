/** A key maps to the shape of its value, or to null where anything may stand. Lists have the shape of their items. */
type Shape = { [key: string]: Shape | null };

const keys = (names: string): Shape => Object.fromEntries(names.split(' ').map((name) => [name, null]));

const selector: Shape = { matchLabels: null, matchExpressions: keys('key operator values') };
const metadata = keys('name namespace labels annotations');

const probe: Shape = {
  ...keys('initialDelaySeconds periodSeconds timeoutSeconds successThreshold failureThreshold'),
  httpGet: keys('path port scheme'),
  tcpSocket: keys('port'),
  exec: keys('command'),
};

const container: Shape = {
  ...keys('name image imagePullPolicy command args workingDir'),
  ports: keys('name containerPort protocol'),
  env: {
    ...keys('name value'),
    valueFrom: { secretKeyRef: keys('name key'), configMapKeyRef: keys('name key'), fieldRef: keys('fieldPath') },
  },
  resources: { requests: keys('cpu memory'), limits: keys('cpu memory') },
  startupProbe: probe,
  readinessProbe: probe,
  livenessProbe: probe,
  lifecycle: { preStop: { exec: keys('command') } },
  securityContext: { ...keys('allowPrivilegeEscalation readOnlyRootFilesystem'), capabilities: keys('drop') },
  volumeMounts: keys('name mountPath readOnly'),
};

const template: Shape = {
  metadata,
  spec: {
    ...keys(
      'nodeSelector priorityClassName automountServiceAccountToken enableServiceLinks terminationGracePeriodSeconds',
    ),
    tolerations: keys('key operator value effect'),
    securityContext: { ...keys('runAsNonRoot runAsUser runAsGroup fsGroup'), seccompProfile: keys('type') },
    containers: container,
    initContainers: container,
    volumes: { name: null, emptyDir: keys('sizeLimit medium'), configMap: keys('name'), secret: keys('secretName') },
  },
};

const rollingUpdate = keys('maxSurge maxUnavailable');
const peer: Shape = { podSelector: selector, namespaceSelector: selector };
const policyPorts = keys('port protocol');

const specs: Record<string, Shape> = {
  DaemonSet: { selector, updateStrategy: { type: null, rollingUpdate }, template },
  Deployment: { replicas: null, selector, strategy: { type: null, rollingUpdate }, template },
  Namespace: {},
  NetworkPolicy: {
    podSelector: selector,
    policyTypes: null,
    ingress: { from: peer, ports: policyPorts },
    egress: { to: peer, ports: policyPorts },
  },
  PodDisruptionBudget: { maxUnavailable: null, selector },
  Service: {
    ...keys('type selector internalTrafficPolicy externalTrafficPolicy'),
    ports: keys('name port targetPort nodePort protocol'),
  },
};

const documents: Record<string, Shape> = {
  ...Object.fromEntries(
    Object.entries(specs).map(([kind, spec]) => [kind, { ...keys('apiVersion kind'), metadata, spec }]),
  ),
  PriorityClass: { ...keys('apiVersion kind value description'), metadata },
  ConfigMap: { ...keys('apiVersion kind data'), metadata },
  Secret: { ...keys('apiVersion kind type data'), metadata },
};

function unknownIn(value: unknown, shape: Shape, path: string): string[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => unknownIn(item, shape, `${path}[${index}]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const innerShape = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (innerShape === undefined) return [`${path}.${key}`];
    return innerShape === null ? [] : unknownIn(inner, innerShape, `${path}.${key}`);
  });
}

/** The paths of all keys that Kubernetes would drop or refuse, or that this table has not met yet. */
export function unknownKeys(manifest: { kind: string; metadata: { name: string } }): string[] {
  const path = `${manifest.kind}/${manifest.metadata.name}`;
  const shape = documents[manifest.kind];
  return shape ? unknownIn(manifest, shape, path) : [`${path}: no table of keys for this kind`];
}
