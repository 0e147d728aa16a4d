import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { BundleError } from './bundle-error.ts';
import { findDuplicateKey } from './duplicate-keys.ts';
import { createManifestSchema, type Manifest } from './manifest.ts';
import { manifestV1Schema } from './manifest-v1.ts';
import { checkSignature } from './signature.ts';
import { type Roles, type SettingsKind, type SettingsKinds, settingsKinds } from './strategies.ts';
import { upgrade } from './upgrade.ts';

/** The version that programs of this commit write. */
export const NEWEST_SCHEMA = 2;

export interface Bundle {
  directory: string;
  manifest: Manifest;
  /** Identifies the strategies' settings exactly: the first 12 hex digits of their sha256. */
  policyVersion: string;
  /** Ids of the models that the strategies run on the edge's device, and of those that they ask elsewhere. */
  here: string[];
  there: string[];
}

/**
 * Reads and checks `manifest.json`, of version 1 or 2. With `keyFile`, public keys in PEM, its exact bytes must be
 * signed by one of them. `kinds`: the kinds of strategies that it may have; with `passOver` others are passed over. The
 * files it names are not read here: whoever reads one checks the digest at that time, so that nothing can change in
 * between. Throws BundleError, and ConfigError for a file without such keys.
 */
export async function loadBundle(
  directory: string,
  keyFile?: string,
  kinds: SettingsKinds = settingsKinds,
  passOver = false,
): Promise<Bundle> {
  const path = resolve(directory, 'manifest.json');
  const bytes = await readFile(path).catch((error: Error) => {
    throw new BundleError(`${path} cannot be read: ${error.message}`, { cause: error });
  });
  if (keyFile !== undefined) await checkSignature(path, bytes, keyFile);
  const manifest = readManifest(parseText(bytes.toString('utf8'), path), path, kinds, passOver);
  const policy = createHash('sha256').update(JSON.stringify(manifest.strategies)).digest('hex');
  return { directory, manifest, policyVersion: policy.slice(0, 12), ...assignRoles(manifest, kinds) };
}

/** The JSON text of `path`. Throws BundleError where it is none, or names something twice in one object. */
export function parseText(text: string, path: string): unknown {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new BundleError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const twice = findDuplicateKey(text);
  if (twice !== undefined) throw new BundleError(`${path}: '${twice}' stands twice in one object`);
  return content;
}

/**
 * Converts the content of `path`, of either version, to a manifest of version 2. Throws BundleError naming the fields.
 */
export function readManifest(
  content: unknown,
  path: string,
  kinds: SettingsKinds = settingsKinds,
  passOver = false,
): Manifest {
  const version = z.looseObject({ schemaVersion: z.number() }).safeParse(content).data?.schemaVersion;
  if (version !== undefined && version > NEWEST_SCHEMA) {
    throw new BundleError(
      `${path} has schemaVersion ${version}, this program reads up to ${NEWEST_SCHEMA}: use a newer one`,
    );
  }
  if (version !== 1) return parse(createManifestSchema(kinds, passOver), content, path);
  return parse(createManifestSchema(kinds), upgrade(parse(manifestV1Schema, content, path)), path);
}

function assignRoles({ strategies }: Manifest, kinds: SettingsKinds): Roles {
  const roles = Object.values(strategies)
    .filter(({ kind }) => Object.hasOwn(kinds, kind))
    .map((settings) => (kinds[settings.kind] as SettingsKind).roles(settings));
  const unique = (ids: string[][]) => [...new Set(ids.flat())];
  return { here: unique(roles.map(({ here }) => here)), there: unique(roles.map(({ there }) => there)) };
}

function parse<T>(schema: z.ZodType<T>, content: unknown, path: string): T {
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => `  ${issue.path.join('.') || '(root)'}: ${issue.message}`);
  throw new BundleError(`${path} is not a usable manifest:\n${lines.join('\n')}`);
}
