import { type Bundle, type ModelEntry, modelPath } from './manifest.ts';

/** What a model process must know of a model. */
export interface RunnableModel {
  id: string;
  path: string;
  bytes: number;
  /** Side of the square of pixels that the graph takes. */
  size: number;
  outputs: Record<string, number>;
}

/** Checks a model's file and describes it for the pool. Throws BundleError. */
export async function toRunnable(bundle: Bundle, model: ModelEntry): Promise<RunnableModel> {
  const path = await modelPath(bundle, model);
  return { id: model.id, path, bytes: model.bytes, size: bundle.manifest.input.size, outputs: model.outputs };
}
