import type { Attributes } from '@opentelemetry/api';
import { z } from 'zod';

/** Names in traces, apart from the schemas' metadata: those are published as OpenAPI. */
const names = z.registry<{ attribute: string }>();

/** The field of a decision is an attribute of that name in the trace. Last of what is said of a field. */
export function inTrace<T extends z.ZodType>(field: T, attribute: string): T {
  names.add(field, { attribute });
  return field;
}

/** The span attributes of a decision: the fields that `inTrace` named. A list of objects gives one list per field. */
export function toAttributes(schema: z.ZodObject, value: Record<string, unknown>): Attributes {
  const attributes: Attributes = {};
  for (const [field, type] of Object.entries(schema.shape) as [string, z.ZodType][]) {
    const found = value[field];
    const name = names.get(type)?.attribute;
    if (name !== undefined && found !== undefined) attributes[name] = found as string;
    const element = (type as z.ZodArray<z.ZodObject>).element?.shape;
    if (!element || !Array.isArray(found)) continue;
    for (const [inner, innerType] of Object.entries(element) as [string, z.ZodType][]) {
      const innerName = names.get(innerType)?.attribute;
      if (innerName !== undefined) attributes[innerName] = found.map((item) => item[inner]);
    }
  }
  return attributes;
}
