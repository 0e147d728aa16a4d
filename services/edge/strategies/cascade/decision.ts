import { z } from 'zod';
import { ATTRIBUTES } from '../../../../shared/observe/names.ts';
import { inTrace } from '../attributes.ts';
import { decisionSchema } from '../strategy.ts';

/** Why a cascade asks an expert, or does not. */
export type Reason = 'confident' | 'low-confidence' | 'never-escalates' | 'always-escalates';

export const cascadeDecision = decisionSchema.extend({
  metric: inTrace(z.string(), ATTRIBUTES.metric),
  value: inTrace(z.number(), ATTRIBUTES.value),
  threshold: inTrace(z.number(), ATTRIBUTES.threshold),
  candidates: z.array(
    z.object({
      expert: inTrace(z.string(), ATTRIBUTES.candidates),
      score: inTrace(z.number(), ATTRIBUTES.scores),
    }),
  ),
});

export type CascadeDecision = z.infer<typeof cascadeDecision>;
