import { z } from 'zod';
import type { Asked, Experts } from '../../services/edge/experts/experts.ts';
import { inTrace } from '../../services/edge/strategies/attributes.ts';
import { inRouteSpan } from '../../services/edge/strategies/route-span.ts';
import { decisionSchema, type Models, type Strategy, type Task } from '../../services/edge/strategies/strategy.ts';
import { BundleError } from '../../shared/bundle/bundle-error.ts';
import { id } from '../../shared/bundle/fields.ts';
import { pictureInput } from '../../shared/bundle/inputs.ts';
import type { Manifest } from '../../shared/bundle/manifest.ts';
import type { ModelEntry } from '../../shared/bundle/model.ts';
import { softmax } from '../../shared/policy/probabilities.ts';
import type { Tensor, Tensors } from '../../shared/wire/tensor.ts';
import { LABELS, type WriteFile } from './tiny-bundle.ts';
import { buildTokensOnnx } from './tiny-onnx.ts';

const settingsSchema = z.strictObject({
  kind: z.literal('three-voices'),
  /** Runs here; its output `attention` [1, 3] and a scale go to `tokens`. */
  here: id,
  tokens: id,
  picture: id,
});
type Settings = z.infer<typeof settingsSchema>;

const decisionOfThree = decisionSchema.extend({
  scale: inTrace(z.number(), 'voices.scale'),
});
type Decision = z.infer<typeof decisionOfThree>;

/**
 * A strategy that the product does not ship: one model here, two tensors to a model elsewhere, the picture to another;
 * the answer is the mean of those that were heard. An expert that does not know tensors gets the picture.
 */
export const threeVoices: Strategy<Settings, Decision> = {
  kind: 'three-voices',
  settings: {
    schema: settingsSchema,
    check({ here }, { models }, complain) {
      if (models[here]?.outputs.attention === undefined) complain(['here'], `'${here}' has no output 'attention'`);
    },
    roles: ({ here, tokens, picture }) => ({ here: [here], there: [tokens, picture] }),
  },
  query: { scale: z.coerce.number().positive().max(100).optional().describe('factor of the tokens') },
  decision: decisionOfThree,
  prepare({ name, settings, bundle }) {
    const input = pictureInput(bundle.manifest.models[settings.here] as ModelEntry);
    if (input === undefined) throw new BundleError(`strategies.${name}.here: '${settings.here}' takes no picture`);
    return {
      rule: input.rule,
      settle: ({ scale = 1 }) => ({ scale }),
      async run(here, there, task) {
        const begun = performance.now();
        const { outputs } = await runHere(here, settings.here, task);
        const edgeMs = performance.now() - begun;
        const scale = task.query.scale as number;
        const own = softmax(outputs.logits?.data as Float32Array, 1);
        const decision = { strategy: name, reason: 'all-are-asked', policyVersion: bundle.policyVersion, scale };
        return inRouteSpan(decisionOfThree, decision, async () => {
          const asked = await askBoth(there, settings, toTokens(outputs.attention as Tensor, scale), task);
          const heard = asked.filter((one) => one.outputs !== null);
          const voices = [own, ...heard.map((one) => softmax(one.outputs?.logits?.data as Float32Array, 1))];
          return {
            probabilities: own.map((_, i) => voices.reduce((sum, one) => sum + (one[i] as number), 0) / voices.length),
            edgeProbabilities: own,
            answeredBy: null,
            route: heard.length > 0 ? 'expert' : 'edge',
            degraded: asked.find((one) => one.degraded !== null)?.degraded ?? null,
            decision,
            timings: { edgeMs, encodeMs: 0 },
            hops: asked.flatMap(({ hops }) => hops),
          };
        });
      },
    };
  },
};

async function runHere(here: Models, model: string, task: Task) {
  const inference = await here.run(model, task.pixels, task.deadline);
  task.work.done();
  return inference;
}

/** Attention [1, 3] -> two tokens that are it, and the scale. */
function toTokens(attention: Tensor, scale: number): Tensors {
  const values = [...(attention.data as Float32Array)];
  return {
    tokens: { type: 'float32', shape: [1, 2, 3], data: Float32Array.from([...values, ...values]) },
    scale: { type: 'float32', shape: [1, 1], data: Float32Array.of(scale) },
  };
}

function askBoth(there: Experts, { tokens, picture }: Settings, tensors: Tensors, task: Task): Promise<Asked[]> {
  const pack = () => there.pack(task.pixels, task.picture, { format: 'rgb8' }, task);
  const askByTensors = async () => {
    const asked = await there.ask([tokens], there.packTensors(tensors, task), task);
    if (asked.reason !== 'unsupported-media-type') return asked;
    // An older expert: it takes pictures alone.
    const again = await there.ask([tokens], pack(), task);
    return { ...again, hops: [...again.hops, ...asked.hops] };
  };
  return Promise.all([askByTensors(), there.ask([picture], pack(), task)]);
}

/** A colour of which all three models have something to say. */
export const COLOUR: [number, number, number] = [40, 80, 120];

export const tokenWeights: [number, number, number][] = [
  [0.01, 0, 0],
  [0, 0.01, 0],
  [0, 0, 0.01],
  [0, 0, 0],
];

/** Adds a model of two tensors, and the strategy that asks it. */
export async function addThreeVoices(manifest: Manifest, write: WriteFile): Promise<void> {
  manifest.models.tokens = {
    ...(await write('tokens.onnx', buildTokensOnnx(tokenWeights))),
    inputs: {
      tokens: { type: 'float32', shape: ['batch', 'tokens', 3] },
      scale: { type: 'float32', shape: ['batch', 1] },
    },
    outputs: { logits: { type: 'float32', shape: ['batch', LABELS.length] } },
    free: { tokens: { min: 1, max: 16 } },
    precision: 'float32',
    parameters: 12,
    figures: {},
  };
  manifest.strategies.voices = { kind: 'three-voices', here: 'generalist', tokens: 'tokens', picture: 'warm' } as never;
}
