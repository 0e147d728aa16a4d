import { z } from 'zod';
import { type Complain, classes, id, share } from './fields.ts';
import { outputLength, pictureInput } from './inputs.ts';
import type { ModelEntry } from './model.ts';

const gainWeights = z.strictObject({
  mass: z.number(),
  best: z.number(),
  next: z.number(),
  confidence: z.number(),
  runnerUp: z.number(),
  entropy: z.number(),
  ownsFirst: z.number(),
  ownsSecond: z.number(),
  massSquared: z.number(),
  confidenceSquared: z.number(),
  massTimesConfidence: z.number(),
  massTimesBest: z.number(),
});

/** How the expert to ask is chosen. */
export const scoringSchema = z.discriminatedUnion('method', [
  /** By the probability mass of the generalist's top k predictions in the expert's classes. */
  z.strictObject({ method: z.literal('top-k-mass') }),
  /** By a regression of the gain from asking the expert: weights of its inputs, and one intercept per expert. */
  z.strictObject({
    method: z.literal('expected-gain'),
    weights: gainWeights,
    intercepts: z.record(z.string(), z.number()),
  }),
]);

export const measure = z.enum(['max-probability', 'margin', 'entropy', 'expected-gain']);

/** How a picture is sent to an expert: as pixels, or as a file made of them. */
export const encodingSchema = z.discriminatedUnion('format', [
  z.strictObject({ format: z.literal('rgb8') }),
  z.strictObject({ format: z.enum(['png', 'webp-lossless']) }),
  z.strictObject({ format: z.enum(['webp', 'jpeg']), quality: z.number().int().min(1).max(100) }),
]);

/** When an answer of the generalist is escalated. */
const gateSchema = z.strictObject({
  /** The measure that decides; `expected-gain` needs the scoring of that name. */
  measure,
  /** The side of the threshold on which an answer is escalated. */
  escalates: z.enum(['below', 'above']),
  threshold: z.number(),
});

export const mergeSchema = z.strictObject({
  method: z.literal('log-linear'),
  /** Weights of the two log-probabilities whose sum becomes the answer; 0 and 1 take the expert's alone. */
  generalistWeight: z.number().min(0).max(10),
  expertWeight: z.number().positive().max(10),
});

const routingSchema = z.strictObject({
  /** How many of the generalist's predictions vote for experts. */
  k: z.number().int().positive(),
  scoring: scoringSchema,
  /** For each class, the expert that owns it. */
  classToExpert: z.array(id),
  merge: mergeSchema,
  /** The caller's own file is sent instead if it is smaller. */
  encoding: encodingSchema,
});

const interval = z.strictObject({ value: z.number(), low: z.number(), high: z.number() });

/** How `npm run -s ask -- calibrate` chose the threshold, and what it certifies. */
export const calibrationSchema = z.strictObject({
  goal: z.record(z.string(), z.number()),
  /** Probability, over the draw of the pictures, that the guarantee holds. */
  confidence: share,
  guarantee: z.string(),
  pictures: z.number().int().positive(),
  metric: measure,
  threshold: z.number(),
  escalated: interval,
  accuracy: interval,
  /** Accuracy and escalation of other thresholds, each with its own interval of that confidence. */
  curve: z.array(z.strictObject({ threshold: z.number(), escalated: share, accuracy: interval })),
});

/** What `npm run -s ask -- encodings` measured for each encoding. */
export const encodingsSchema = z.strictObject({
  /** Whether the pictures were other ones than the bundle's own validation pictures. */
  given: z.boolean().optional(),
  /** Number of pictures, and how many of them would be escalated. */
  pictures: z.number().int().positive(),
  escalated: z.number().int().min(0),
  /** Largest accepted loss of accuracy. */
  maxLoss: share,
  table: z.array(
    z.strictObject({
      encoding: encodingSchema,
      /** Mean payload, and median time to encode on the machine that measured it. */
      bytes: z.number(),
      encodeMs: z.number(),
      /** Accuracy on all pictures, escalated ones in this encoding, and its loss against raw pixels. */
      accuracy: share,
      loss: z.number(),
    }),
  ),
});

/** Divides the logits before the softmax (Guo et al., arXiv:1706.04599). */
const temperature = z.number().positive();

/** Settings of strategies of kind `cascade`: a generalist with experts (arXiv:2602.13334). */
export const cascadeSchema = z.strictObject({
  kind: z.literal('cascade'),
  generalist: z.strictObject({ model: id, temperature }),
  /** `classes`: those that the expert was trained for; its logits may cover more. */
  experts: z.array(z.strictObject({ model: id, classes, temperature })),
  gate: gateSchema,
  routing: routingSchema,
  calibration: calibrationSchema.optional(),
  encodings: encodingsSchema.optional(),
});

export type GainWeights = z.infer<typeof gainWeights>;
export type Measure = z.infer<typeof measure>;
export type Encoding = z.infer<typeof encodingSchema>;
export type Encodings = z.infer<typeof encodingsSchema>;
export type Calibration = z.infer<typeof calibrationSchema>;
export type Cascade = z.infer<typeof cascadeSchema>;

interface Context {
  labels: string[];
  models: Record<string, ModelEntry>;
}

/** Finds contradictions between a cascade's parts, and between them and the bundle's models. */
export function checkCascade(cascade: Cascade, { labels, models }: Context, complain: Complain): void {
  const count = labels.length;
  const members = [
    { path: ['generalist'], ...cascade.generalist, classes: [] },
    ...cascade.experts.map((expert, i) => ({ path: ['experts', i], ...expert })),
  ];
  const seen = new Set<string>();
  for (const { path, model, classes } of members) {
    const entry = Object.hasOwn(models, model) ? models[model] : undefined;
    const at = [...path, 'model'];
    if (seen.has(model)) complain(at, `'${model}' is used twice`);
    seen.add(model);
    if (entry === undefined) complain(at, `there is no model '${model}'`);
    else if (outputLength(entry, 'logits') !== count) {
      complain(at, `the output 'logits' of '${model}' must be [batch, ${count}], one per label`);
    } else if (pictureInput(entry) === undefined) {
      complain(at, `'${model}' does not say how a picture becomes its input`);
    }
    if (classes.some((label) => label >= count)) complain([...path, 'classes'], 'names a class without a label');
  }
  const { gate, routing, experts } = cascade;
  if (routing.k > count) complain(['routing', 'k'], `must not exceed the ${count} labels`);
  if (routing.classToExpert.length !== count) {
    complain(['routing', 'classToExpert'], `must hold ${count} entries, one per label`);
  }
  const { scoring } = routing;
  if (gate.measure === 'expected-gain' && scoring.method !== 'expected-gain') {
    complain(['gate', 'measure'], `'expected-gain' needs the scoring of that name`);
  }
  if (scoring.method === 'expected-gain') {
    for (const { model } of experts) {
      if (!Object.hasOwn(scoring.intercepts, model)) {
        complain(['routing', 'scoring', 'intercepts'], `there is none for '${model}'`);
      }
    }
  }
  for (const [label, owner] of routing.classToExpert.entries()) {
    const expert = experts.find(({ model }) => model === owner);
    const at = ['routing', 'classToExpert', label];
    if (!expert) complain(at, `there is no expert '${owner}'`);
    else if (!expert.classes.includes(label)) complain(at, `class ${label} is not among the classes of '${owner}'`);
  }
}
