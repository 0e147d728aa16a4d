import type { Attributes } from '@opentelemetry/api';
import type { z } from 'zod';
import { ATTRIBUTES } from '../../../shared/observe/names.ts';
import { inSpan, SpanKind } from '../../../shared/observe/telemetry.ts';
import { toAttributes } from './attributes.ts';
import type { Decision, Outcome } from './strategy.ts';

/**
 * What follows a decision, in the span `route`, which carries the decision's fields by its schema, `further`
 * attributes, and who answered.
 */
export function inRouteSpan<D extends Decision>(
  schema: z.ZodObject,
  decision: D,
  follow: () => Promise<Outcome<D>>,
  further: () => Attributes = () => ({}),
): Promise<Outcome<D>> {
  return inSpan('route', SpanKind.INTERNAL, async (span) => {
    if (span.isRecording()) span.setAttributes({ ...toAttributes(schema, decision), ...further() });
    const outcome = await follow();
    if (outcome.route === 'expert' || outcome.degraded !== null) {
      span.setAttribute(
        ATTRIBUTES.answeredBy,
        outcome.answeredBy ?? (outcome.route === 'edge' ? 'generalist' : 'several'),
      );
    }
    if (outcome.degraded !== null) span.setAttribute(ATTRIBUTES.degraded, outcome.degraded);
    return outcome;
  });
}
