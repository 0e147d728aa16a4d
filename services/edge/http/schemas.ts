import { z } from 'zod';
import { errorCodes } from '../../../shared/request/errors.ts';
import { decimal } from '../../../shared/settings/decimal.ts';
import { damages } from '../../../shared/wire/damage.ts';
import { strategyNames } from '../strategies/list.ts';

/** The longest deadline that can be asked for, in milliseconds. */
export const MOST_MS = 600_000;

function nameKnown({ code, keys }: { code?: string | undefined; keys?: unknown }): string | undefined {
  if (code !== 'unrecognized_keys') return undefined;
  const known = Object.keys(classifyQuery.shape).join(', ');
  return `there is no parameter ${(keys as string[]).map((key) => key.slice(0, 40)).join(', ')}; there are ${known}`;
}

/** What callers send and get, checked where it comes in and published as OpenAPI. */
export const classifyQuery = z
  .object(
    {
      topK: decimal(z.number().int().min(1).max(1000)).default(5).describe('how many labels to return'),
      deadlineMs: decimal(z.number().int().min(1).max(MOST_MS)).optional().describe('time for the answer'),
      threshold: decimal(z.number().min(0).max(1)).optional().describe('escalate answers less confident than this'),
      explain: z
        .preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean())
        .default(false)
        .describe("whether to add the generalist's own labels, as `edge`"),
      strategy: z.enum(strategyNames).default('ask').describe('who may answer'),
      damaged: z
        .enum(['accept', 'refuse'])
        .default('accept')
        .describe(
          'what becomes of a picture of which a part is missing or broken: it is answered with a mark, or refused',
        ),
    },
    { error: nameKnown },
  )
  .strict();

export type ClassifyQuery = z.infer<typeof classifyQuery>;

const ranked = z.object({ label: z.string(), index: z.number().int(), confidence: z.number() });

export const answerSchema = ranked
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
    decision: z.object({
      strategy: z.string(),
      metric: z.string(),
      value: z.number(),
      threshold: z.number(),
      candidates: z.array(z.object({ expert: z.string(), score: z.number() })),
      reason: z.string().describe('why an expert was or was not asked; `cache-hit`: the answer is an earlier one'),
      firstReason: z.string().optional().describe('with `cache-hit`: the reason of that earlier answer'),
      policyVersion: z.string(),
    }),
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
    picture: z.object({
      damaged: z.boolean().describe('a part of the picture is missing or broken'),
      reason: z.enum(damages).optional().describe('what is wrong with it'),
    }),
    traceId: z.string(),
  })
  .meta({ id: 'Answer' });

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: z.enum(errorCodes).describe('what programs should go by: it stays the same'),
    detail: z.string().describe('what to do, for people'),
  })
  .meta({ id: 'Problem' });

const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: problemSchema } },
});

/** A JSON answer, as the description shows it. */
export function answered<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { 'application/json': { schema } } };
}

export const problems = {
  '4xx': problem('The request is refused (RFC 9457)'),
  '5xx': problem('The service cannot answer (RFC 9457)'),
};

/** Answers of every address but the open ones. */
export const refusals = {
  401: problem('An API key is asked for and missing'),
  403: problem('An API key is asked for and another one came'),
};

const instance = z.object({ id: z.string(), expert: z.string(), digest: z.string() });

export const expertsSchema = z.array(
  z
    .object({
      id: z.string(),
      classes: z.array(z.string()),
      inputSize: z.number().int(),
      precision: z.string(),
      figures: z.record(z.string(), z.number()).describe('measured in training'),
      instances: z.array(instance).describe('who hosts it'),
    })
    .meta({ id: 'Expert' }),
);

export const readinessSchema = z
  .object({
    status: z.enum(['starting', 'ready', 'stopping', 'overloaded', 'model-failed']),
    bus: z.object({ kind: z.string(), connected: z.boolean() }),
    experts: z
      .record(z.string(), z.object({ instances: z.number().int(), circuit: z.enum(['closed', 'open', 'absent']) }))
      .describe('by id'),
    missing: z.array(z.string()).describe('experts that nobody serves'),
  })
  .meta({ id: 'Readiness' });

/** Marks an address that needs no key: published as OpenAPI, and heeded by `guard.ts`. */
export const open = { security: [] };
