import { z } from 'zod';
import { type Complain, file, id, sha256 } from './fields.ts';
import { checkModel, modelSchema } from './model.ts';
import type { SettingsKinds } from './strategies.ts';

/** A strategy's settings; `kind` says which schema they have. */
const settings = z.looseObject({ kind: z.string() });

/** `manifest.json` of a bundle, version 2, except the settings of its strategies. */
const manifestSchema = z.strictObject({
  schemaVersion: z.literal(2),
  name: z.string().min(1),
  labels: z.array(z.string().min(1)).min(2),
  /** By id. */
  models: z.record(id, modelSchema),
  /** By the name that callers ask for. */
  strategies: z.record(id, settings),
  /** Pictures, and the logits of every model when it was exported; see `inference/golden.ts`. */
  golden: z.strictObject({ file, sha256 }).optional(),
  provenance: z.looseObject({
    /** Terms of what the models were made from, by its name. */
    licences: z.record(z.string(), z.string()).optional(),
  }),
  extra: z.record(z.string(), z.unknown()).optional(),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** The schema of a manifest with strategies of these kinds. It also finds contradictions between the parts. */
export function createManifestSchema(kinds: SettingsKinds, passOver = false) {
  return manifestSchema.superRefine((manifest, context) => {
    const complain: Complain = (path, message) => context.addIssue({ code: 'custom', path, message, input: manifest });
    if (new Set(manifest.labels).size !== manifest.labels.length) complain(['labels'], 'a label occurs twice');
    for (const [name, model] of Object.entries(manifest.models)) {
      checkModel(model, (path, message) => complain(['models', name, ...path], message));
    }
    for (const name of Object.keys(manifest.strategies)) {
      const { kind } = manifest.strategies[name] as { kind: string };
      if (passOver && !Object.hasOwn(kinds, kind)) continue;
      checkStrategy(manifest, name, kinds, complain);
    }
  });
}

/** Replaces the settings by the output of their kind's schema. */
function checkStrategy(manifest: Manifest, name: string, kinds: SettingsKinds, complain: Complain): void {
  const given = manifest.strategies[name] as Manifest['strategies'][string];
  const kind = Object.hasOwn(kinds, given.kind) ? kinds[given.kind] : undefined;
  if (kind === undefined) {
    complain(['strategies', name, 'kind'], `'${given.kind}' is none of ${Object.keys(kinds).join(', ')}`);
    return;
  }
  const parsed = kind.schema.safeParse(given);
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) complain(['strategies', name, ...path.map(String)], message);
    return;
  }
  manifest.strategies[name] = parsed.data as typeof given;
  kind.check?.(parsed.data, manifest, (path, message) => complain(['strategies', name, ...path], message));
  const { here, there } = kind.roles(parsed.data);
  for (const model of [...here, ...there]) {
    if (!Object.hasOwn(manifest.models, model)) complain(['strategies', name], `there is no model '${model}'`);
  }
}
