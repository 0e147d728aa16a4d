import { findMistake } from '../../shared/inference/match-inputs.ts';
import type { InferencePool } from '../../shared/inference/pool.ts';
import { type RunnableModel, toInputs } from '../../shared/inference/runnable.ts';
import type { Tensors } from '../../shared/wire/tensor.ts';
import type { Models } from './strategies/strategy.ts';

/** The models of this device, as strategies run them. */
export function createModels(models: Map<string, RunnableModel>, pool: InferencePool, batch: number): Models {
  return {
    async run(id, input, deadline) {
      const model = models.get(id) as RunnableModel;
      const inputs = 'pixels' in input && input.pixels instanceof Uint8Array ? toInputs(model, input.pixels) : input;
      const mistake = findMistake(inputs as Tensors, model);
      if (mistake) throw new Error(`model ${id}: ${mistake}`);
      return pool.run(model, inputs as Tensors, { batch, deadline });
    },
  };
}
