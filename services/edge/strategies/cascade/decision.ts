import { z } from 'zod';
import { ATTRIBUTES } from '../../../../shared/observe/names.ts';
import { decisionSchema } from '../strategy.ts';

/** Why a cascade asks an expert, or does not. */
export type Reason = 'confident' | 'low-confidence' | 'never-escalates' | 'always-escalates';

export const cascadeDecision = decisionSchema.extend({
  metric: z.string().meta({ attribute: ATTRIBUTES.metric }),
  value: z.number().meta({ attribute: ATTRIBUTES.value }),
  threshold: z.number().meta({ attribute: ATTRIBUTES.threshold }),
  candidates: z.array(
    z.object({
      expert: z.string().meta({ attribute: ATTRIBUTES.candidates }),
      score: z.number().meta({ attribute: ATTRIBUTES.scores }),
    }),
  ),
});

export type CascadeDecision = z.infer<typeof cascadeDecision>;
