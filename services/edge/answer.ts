import { z } from 'zod';
import { damages } from '../../shared/wire/damage.ts';

const ranked = z.object({ label: z.string(), index: z.number().int(), confidence: z.number() });

const hop = z.object({
  to: z.string().describe('the model that was asked'),
  bytes: z.number().int().describe('sent to it, headers included'),
  encoding: z.string().nullable().describe('how the picture travelled'),
  ms: z.number().describe('from the question to the reply'),
  computeMs: z.number().describe('of that, what the other side took'),
});

/** The body of a successful answer. `decision` is what the strategies say of their decisions. */
export function createAnswerSchema<D extends z.ZodType>(decision: D) {
  return ranked
    .extend({
      id: z.string(),
      topK: z.array(ranked),
      edge: z
        .object({ topK: z.array(ranked) })
        .optional()
        .describe("with `explain`: the generalist's own labels, before any expert"),
      route: z.enum(['edge', 'expert']),
      expert: z.string().nullable(),
      degraded: z.enum(['timeout', 'no-expert', 'overloaded', 'expert-error', 'circuit-open']).nullable(),
      decision,
      timings: z.object({
        decodeMs: z.number(),
        edgeMs: z.number(),
        encodeMs: z.number(),
        expertRoundTripMs: z.number(),
        expertMs: z.number(),
        totalMs: z.number(),
      }),
      bytesSent: z.number().int(),
      encoding: z.string().nullable().describe('how the picture travelled to the expert'),
      hops: z.array(hop).describe('who was asked, the decisive one first'),
      picture: z.object({
        damaged: z.boolean().describe('a part of the picture is missing or broken'),
        reason: z.enum(damages).optional().describe('what is wrong with it'),
      }),
      traceId: z.string(),
    })
    .meta({ id: 'Answer' });
}

export type Answer = z.infer<ReturnType<typeof createAnswerSchema<z.ZodType<Record<string, unknown>>>>>;
export type Ranked = z.infer<typeof ranked>;
