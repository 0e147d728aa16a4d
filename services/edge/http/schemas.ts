import { z } from 'zod';
import { errorCodes } from '../../../shared/request/errors.ts';

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

/** A JSON answer, for the API description. */
export function answered<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { 'application/json': { schema } } };
}

export const problems = {
  '4xx': problem('The request is refused (RFC 9457)'),
  '5xx': problem('The service cannot answer (RFC 9457)'),
};

/** Responses of every route but the open ones. */
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
      inputSize: z
        .number()
        .int()
        .nullable()
        .describe('side in pixels of what the network sees; null: it takes no picture'),
      precision: z.string(),
      figures: z.record(z.string(), z.number()).describe('measured in training'),
      licences: z.record(z.string(), z.string()).describe('terms of what it was made from'),
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

/** Marks a route that needs no key: published as OpenAPI, and read by `guard.ts`. */
export const open = { security: [] };
