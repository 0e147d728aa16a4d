import { strategyNames } from '../local/api.ts';

/** The strategies, and the oracle: right if the generalist or the routed expert's answer is. */
export const evaluationNames = [...strategyNames, 'oracle'];
