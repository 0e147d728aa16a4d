import { z } from 'zod';
import { decimal } from '../../shared/decimal.ts';
import { damages } from '../../shared/jpeg-scan.ts';
import { strategyNames } from './strategies.ts';

/** The longest deadline that can be asked for, in milliseconds. */
export const MOST_MS = 600_000;

/** What callers send and get, checked where it comes in and published as OpenAPI. */
export const classifyQuery = z
  .object({
    topK: decimal(z.number().int().min(1).max(1000)).default(5).describe('how many labels to return'),
    deadlineMs: decimal(z.number().int().min(1).max(MOST_MS)).optional().describe('time for the answer'),
    threshold: decimal(z.number().min(0).max(1)).optional().describe('escalate answers less confident than this'),
    strategy: z.enum(strategyNames).default('ask').describe('who may answer'),
    damaged: z
      .enum(['accept', 'refuse'])
      .default('accept')
      .describe(
        'what becomes of a picture of which a part is missing or broken: it is answered with a mark, or refused',
      ),
  })
  .strict();

const ranked = z.object({ label: z.string(), index: z.number().int(), confidence: z.number() });

export const answerSchema = ranked.extend({
  id: z.string(),
  topK: z.array(ranked),
  route: z.enum(['edge', 'expert']),
  expert: z.string().nullable(),
  degraded: z.enum(['timeout', 'no-expert', 'overloaded', 'expert-error', 'circuit-open']).nullable(),
  decision: z.object({
    strategy: z.string(),
    metric: z.string(),
    value: z.number(),
    threshold: z.number(),
    candidates: z.array(z.object({ expert: z.string(), score: z.number() })),
    reason: z.string(),
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
});

export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string(),
});

const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: problemSchema } },
});

export const problems = { '4xx': problem('RFC 9457'), '5xx': problem('RFC 9457') };

/** Answers of every address but the open ones. */
export const refusals = {
  401: problem('An API key is asked for and missing'),
  403: problem('An API key is asked for and another one came'),
};

/** Marks an address that needs no key: published as OpenAPI, and heeded by `guard.ts`. */
export const open = { security: [] };

/** What the description says when keys are asked for. */
export const securitySchemes = {
  components: {
    securitySchemes: {
      bearer: { type: 'http' as const, scheme: 'bearer' },
      header: { type: 'apiKey' as const, in: 'header', name: 'x-api-key' },
    },
  },
  security: [{ bearer: [] }, { header: [] }] as Record<string, string[]>[],
};
