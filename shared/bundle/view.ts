import { BundleError } from './bundle-error.ts';
import type { Cascade } from './cascade.ts';
import { pictureInput } from './inputs.ts';
import type { Manifest } from './manifest.ts';
import type { ModelEntry, PictureRule } from './model.ts';

/** A model as a cascade uses it. */
export interface Member {
  id: string;
  model: ModelEntry;
  /** How a picture becomes its input. */
  rule: PictureRule;
  /** The classes it was trained for; a generalist's are all. */
  classes: number[];
  temperature: number;
}

/** A cascade's settings, with its models looked up. */
export interface CascadeView extends Omit<Cascade, 'generalist' | 'experts'> {
  generalist: Member;
  experts: Member[];
}

/** The cascade of that name. Throws BundleError if there is none. */
export function viewCascade({ strategies, models, labels }: Manifest, name = 'ask'): CascadeView {
  const settings = strategies[name];
  if (settings?.kind !== 'cascade') throw new BundleError(`the bundle has no strategy '${name}' of kind cascade`);
  const cascade = settings as unknown as Cascade; // checked when the manifest was read
  const join = (id: string, classes: number[], temperature: number): Member => {
    const model = models[id] as ModelEntry;
    const { rule } = pictureInput(model) as { rule: PictureRule };
    return { id, model, rule, classes, temperature };
  };
  const { generalist, experts } = cascade;
  return {
    ...cascade,
    generalist: join(generalist.model, [...labels.keys()], generalist.temperature),
    experts: experts.map(({ model, classes, temperature }) => join(model, classes, temperature)),
  };
}

/** The classes that a model was trained for: those that a cascade names, or all. */
export function classesOf({ strategies, labels }: Manifest, model: string): number[] {
  for (const settings of Object.values(strategies)) {
    if (settings.kind !== 'cascade') continue;
    const expert = (settings as unknown as Cascade).experts.find((one) => one.model === model);
    if (expert) return expert.classes;
  }
  return [...labels.keys()];
}
