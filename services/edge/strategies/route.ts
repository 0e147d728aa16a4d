import type { Attributes } from '@opentelemetry/api';
import type { z } from 'zod';
import { ATTRIBUTES } from '../../../shared/observe/names.ts';
import { inSpan, SpanKind } from '../../../shared/observe/telemetry.ts';
import type { Decision, Outcome } from './strategy.ts';

/**
 * What follows a decision, in the span `route`, which carries the decision's fields by its schema, `further` attributes,
 * and who answered.
 */
export function route<D extends Decision>(
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

/** The fields of a decision whose schema names an attribute, by these names; of a list of objects, one list a field. */
function toAttributes(schema: z.ZodObject, value: Record<string, unknown>): Attributes {
  const attributes: Attributes = {};
  for (const [field, type] of Object.entries(schema.shape) as [string, z.ZodType][]) {
    const found = value[field];
    const name = type.meta()?.attribute;
    if (typeof name === 'string' && found !== undefined) attributes[name] = found as string;
    const element = (type as z.ZodArray<z.ZodObject>).element?.shape;
    if (!element || !Array.isArray(found)) continue;
    for (const [inner, innerType] of Object.entries(element) as [string, z.ZodType][]) {
      const innerName = innerType.meta()?.attribute;
      if (typeof innerName === 'string') attributes[innerName] = found.map((item) => item[inner]);
    }
  }
  return attributes;
}
