import './onnxruntime-quiet.ts';

/** The only import of onnxruntime-node, so that no process loads it without the import above. */
export { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';
