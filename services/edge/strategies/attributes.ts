import type { Attributes } from '@opentelemetry/api';
import type { z } from 'zod';

/**
 * The span attributes of a decision: fields whose schema names an attribute. A list of objects gives one list per
 * field.
 */
export function toAttributes(schema: z.ZodObject, value: Record<string, unknown>): Attributes {
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
