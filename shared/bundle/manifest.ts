import { z } from 'zod';

const share = z.number().min(0).max(1);
const id = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower-case letters, digits and hyphens');
const classes = z.array(z.number().int().min(0)).min(1);
const file = z.string().regex(/^[A-Za-z0-9._-]+$/, 'must be a file name without a folder');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const modelSchema = z.object({
  id,
  file,
  sha256,
  bytes: z.number().int().positive(),
  /** Side in pixels of the square the network works on; the graph resizes to it by itself. */
  inputSize: z.number().int().positive(),
  /** Per channel, of pixels in 0..1; the graph applies them by itself. */
  mean: z.array(z.number()).length(3),
  std: z.array(z.number().positive()).length(3),
  /** Length of each output vector, by name; `logits` is always there. */
  outputs: z.object({ logits: z.number().int().positive() }).catchall(z.number().int().positive()),
  /** The classes the model was made for; its logits may cover more. */
  classes,
  /** Divides the logits before the softmax (Guo et al., arXiv:1706.04599). */
  temperature: z.number().positive(),
  precision: z.enum(['float32', 'int8']),
  parameters: z.number().int().positive(),
  figures: z.record(z.string(), z.number()),
});

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
const scoringSchema = z.discriminatedUnion('method', [
  /** By the probability mass of the generalist's top k predictions in the expert's classes. */
  z.strictObject({ method: z.literal('top-k-mass') }),
  /** By a regression of how much asking the expert gains; weights of its inputs, and one intercept per expert. */
  z.strictObject({
    method: z.literal('expected-gain'),
    weights: gainWeights,
    intercepts: z.record(z.string(), z.number()),
  }),
]);

const metric = z.enum(['max-probability', 'margin', 'entropy', 'expected-gain']);

/** How a picture travels to an expert: its pixels, or a file made of them. */
const encodingSchema = z.discriminatedUnion('format', [
  z.strictObject({ format: z.literal('rgb8') }),
  z.strictObject({ format: z.enum(['png', 'webp-lossless']) }),
  z.strictObject({ format: z.enum(['webp', 'jpeg']), quality: z.number().int().min(1).max(100) }),
]);

const routingSchema = z.object({
  /** How many of the generalist's predictions vote for experts. */
  k: z.number().int().positive(),
  scoring: scoringSchema.default({ method: 'top-k-mass' }),
  /** What the gate goes by; `expected-gain` needs the scoring of that name. */
  metric,
  /** An answer whose metric is below is escalated. */
  threshold: share,
  /** For each class, the expert that owns it. */
  classToExpert: z.array(id),
  /** Weights of the two log-probabilities in the sum that becomes the answer; 0 and 1 take the expert's alone. */
  merge: z.object({
    method: z.literal('log-linear'),
    generalistWeight: z.number().min(0).max(10),
    expertWeight: z.number().positive().max(10),
  }),
  /** The caller's own file goes instead where that is smaller. */
  encoding: encodingSchema.default({ format: 'rgb8' }),
});

const interval = z.object({ value: z.number(), low: z.number(), high: z.number() });

/** How `npm run -s ask -- calibrate` chose the threshold, and what it certifies. */
const calibrationSchema = z.object({
  goal: z.record(z.string(), z.number()),
  /** Probability, over the draw of the pictures, that the guarantee holds. */
  confidence: share,
  guarantee: z.string(),
  pictures: z.number().int().positive(),
  metric,
  threshold: share,
  escalated: interval,
  accuracy: interval,
  /** Accuracy and escalation of other thresholds, each with its own interval of that confidence. */
  curve: z.array(z.object({ threshold: share, escalated: share, accuracy: interval })),
});

/** What `npm run -s ask -- encodings` measured of each, and chose from. */
const encodingsSchema = z.object({
  /** Whether the pictures were others than the bundle's own of validation. */
  given: z.boolean().optional(),
  /** Pictures, and how many of them would be escalated. */
  pictures: z.number().int().positive(),
  escalated: z.number().int().min(0),
  /** Largest accepted loss of accuracy. */
  maxLoss: share,
  table: z.array(
    z.object({
      encoding: encodingSchema,
      /** Mean payload; median time to encode on the machine that measured it. */
      bytes: z.number(),
      encodeMs: z.number(),
      /** Of all pictures, those escalated by way of this encoding; and what that is below pixels as they are. */
      accuracy: share,
      loss: z.number(),
    }),
  ),
});

/** `manifest.json` of a bundle, checked also for what its parts say of each other. */
export const manifestSchema = z
  .object({
    schemaVersion: z.literal(1),
    name: z.string().min(1),
    labels: z.array(z.string().min(1)).min(2),
    /** What every model of the bundle takes: a square of 8-bit RGB pixels, and how a picture becomes one. */
    input: z.object({
      size: z.number().int().min(1).max(1024),
      fit: z.enum(['cover', 'fill', 'contain']),
      kernel: z.enum(['nearest', 'linear', 'cubic', 'mitchell', 'lanczos2', 'lanczos3']),
      background: z.array(z.number().int().min(0).max(255)).length(3),
    }),
    generalist: modelSchema,
    experts: z.array(modelSchema),
    /** Pictures, and what every model said of them when it was exported; see `golden.ts`. */
    golden: z.object({ file, sha256 }).optional(),
    routing: routingSchema,
    calibration: calibrationSchema.optional(),
    encodings: encodingsSchema.optional(),
    provenance: z.record(z.string(), z.unknown()),
  })
  .superRefine((manifest, context) => {
    const count = manifest.labels.length;
    const complain = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message, input: manifest });
    if (new Set(manifest.labels).size !== count) complain(['labels'], 'a label occurs twice');
    const models = [['generalist', manifest.generalist] as const].concat(
      manifest.experts.map((expert, i) => [`experts.${i}`, expert] as never),
    );
    const ids = new Set<string>();
    for (const [path, model] of models) {
      if (ids.has(model.id)) complain([path, 'id'], `'${model.id}' is used twice`);
      ids.add(model.id);
      if (model.outputs.logits !== count) complain([path, 'outputs', 'logits'], `must be ${count}, one per label`);
      if (model.classes.some((label) => label >= count)) complain([path, 'classes'], 'names a class without a label');
    }
    if (manifest.routing.k > count) complain(['routing', 'k'], `must not exceed the ${count} labels`);
    if (manifest.routing.classToExpert.length !== count) {
      complain(['routing', 'classToExpert'], `must hold ${count} entries, one per label`);
    }
    const { scoring, metric } = manifest.routing;
    if (metric === 'expected-gain' && scoring.method !== metric) {
      complain(['routing', 'metric'], `'expected-gain' needs the scoring of that name`);
    }
    for (const { id } of scoring.method === 'expected-gain' ? manifest.experts : []) {
      if (!(id in (scoring as { intercepts: object }).intercepts)) {
        complain(['routing', 'scoring', 'intercepts'], `there is none for '${id}'`);
      }
    }
    manifest.routing.classToExpert.forEach((owner, label) => {
      const expert = manifest.experts.find((candidate) => candidate.id === owner);
      if (!expert) complain(['routing', 'classToExpert', label], `there is no expert '${owner}'`);
      else if (!expert.classes.includes(label)) {
        complain(['routing', 'classToExpert', label], `class ${label} is not among the classes of '${owner}'`);
      }
    });
  });

export type GainWeights = z.infer<typeof gainWeights>;
export type Encoding = z.infer<typeof encodingSchema>;
export type Encodings = z.infer<typeof encodingsSchema>;
export type Calibration = z.infer<typeof calibrationSchema>;
export type ModelEntry = z.infer<typeof modelSchema>;
export type Manifest = z.infer<typeof manifestSchema>;
