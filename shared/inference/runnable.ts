import { join } from 'node:path';
import type { Bundle, ModelEntry } from '../bundle/load.ts';

/** What a model process must know of a model. */
export interface RunnableModel {
  id: string;
  path: string;
  /** Size and digest that the file must have when it is loaded. */
  bytes: number;
  sha256: string;
  /** Side of the square of pixels that the graph takes. */
  size: number;
  outputs: Record<string, number>;
}

// Onnxruntime keeps packed copies of the weights beside the file's own: resident memory grows by about this factor.
const MEMORY_PER_FILE_BYTE = 2.5;

/** Bytes that the session of a model takes, estimated from those of its file. */
export function sessionMemory(fileBytes: number): number {
  return Math.ceil(fileBytes * MEMORY_PER_FILE_BYTE);
}

/** Describes a bundle's model for the pool, whose processes check the file as they load it. */
export function toRunnable({ directory, manifest }: Bundle, model: ModelEntry): RunnableModel {
  const { id, file, bytes, sha256, outputs } = model;
  return { id, path: join(directory, file), bytes, sha256, size: manifest.input.size, outputs };
}
