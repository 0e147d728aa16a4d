import { z } from 'zod';
import { type Cascade, cascadeSchema, checkCascade } from './cascade.ts';
import type { Complain } from './fields.ts';
import { id } from './fields.ts';
import type { ModelEntry } from './model.ts';

/** The parts of a manifest that a strategy's settings refer to. */
interface Described {
  labels: string[];
  models: Record<string, ModelEntry>;
  strategies: Record<string, { kind: string }>;
}

export interface Roles {
  here: string[];
  there: string[];
}

/** How a manifest describes strategies of one kind. */
export interface SettingsKind<Settings = unknown> {
  schema: z.ZodType<Settings>;
  /** Finds contradictions between settings and bundle; paths are within the settings. */
  check?(settings: Settings, bundle: Described, complain: Complain): void;
  /** Ids of the models that run on the edge's device, and of those that it asks elsewhere. */
  roles(settings: Settings): Roles;
}

/** By `kind`. */
// biome-ignore lint/suspicious/noExplicitAny: each kind has settings of its own
export type SettingsKinds = Record<string, SettingsKind<any>>;

/** Settings of a strategy that uses the models and the routing of a cascade, with a gate of its own. */
function referring(kind: string): SettingsKind<{ kind: string; of: string }> {
  return {
    schema: z.strictObject({ kind: z.literal(kind), of: id }),
    roles: () => ({ here: [], there: [] }), // the cascade's
    check({ of }, { strategies }, complain) {
      if (strategies[of]?.kind !== 'cascade') complain(['of'], `there is no strategy '${of}' of kind cascade`);
    },
  };
}

/** Every kind of strategy that ships; `loadBundle` may be given more. */
export const settingsKinds = {
  cascade: {
    schema: cascadeSchema,
    check: checkCascade,
    roles: ({ generalist, experts }) => ({ here: [generalist.model], there: experts.map(({ model }) => model) }),
  } satisfies SettingsKind<Cascade>,
  'edge-only': referring('edge-only'),
  'always-expert': referring('always-expert'),
};
