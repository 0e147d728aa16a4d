import { strategyNames } from '../local/api.ts';

/** The strategies and the oracle, which is right if the generalist's or the routed expert's answer is. */
export const evaluationNames = [...strategyNames, 'oracle'];
