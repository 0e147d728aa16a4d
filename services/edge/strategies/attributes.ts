import type { Attributes } from '@opentelemetry/api';
import { z } from 'zod';

/** Names in traces, apart from the schemas' metadata: those are published as OpenAPI. */
const names = z.registry<{ attribute: string }>();

/** The field of a decision is an attribute of that name in the trace. Last of what is said of a field. */
export function inTrace<T extends z.ZodType>(field: T, attribute: string): T {
  names.add(field, { attribute });
  return field;
}

/** The fields of a decision that are attributes, by their names; of a list of objects, a list for each field. */
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
