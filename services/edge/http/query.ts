import { z } from 'zod';
import { decimal } from '../../../shared/settings/decimal.ts';
import type { PreparedStrategy } from '../strategies/prepare.ts';

/** The longest deadline that can be asked for, in milliseconds. */
export const MAX_MS = 600_000;

/** Parameters of every strategy. */
const common = (names: [string, ...string[]]) => ({
  topK: decimal(z.number().int().min(1).max(1000)).default(5).describe('how many labels to return'),
  deadlineMs: decimal(z.number().int().min(1).max(MAX_MS)).optional().describe('time for the answer'),
  explain: z
    .preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean())
    .default(false)
    .describe("whether to add the generalist's own labels, as `edge`"),
  strategy: z.enum(names).default(names[0]).describe('who may answer'),
  damaged: z
    .enum(['accept', 'refuse'])
    .default('accept')
    .describe('what becomes of a picture of which a part is missing or broken: it is answered with a mark, or refused'),
});

/** The parameters of `/classify`: checked on arrival, and published as OpenAPI. The first strategy is the default. */
export function createQuery(strategies: Map<string, PreparedStrategy>) {
  const { topK, deadlineMs, ...others } = common([...strategies.keys()] as [string, ...string[]]);
  const shape = { topK, deadlineMs, ...ownParameters(strategies, { topK, deadlineMs, ...others }), ...others };
  const known = Object.keys(shape).join(', ');
  const nameKnown = ({ code, keys }: { code?: string | undefined; keys?: unknown }) => {
    if (code !== 'unrecognized_keys') return undefined;
    return `there is no parameter ${(keys as string[]).map((key) => key.slice(0, 40)).join(', ')}; there are ${known}`;
  };
  return z.object(shape, { error: nameKnown }).strict();
}

export type QuerySchema = ReturnType<typeof createQuery>;
/** Parameters of strategies are included under their own names. */
export type Query = z.infer<z.ZodObject<ReturnType<typeof common>>> & Record<string, unknown>;

/**
 * The strategies' own parameters, as they are described. They pass as they came, since one name may mean different
 * things to two strategies: the one that is asked for reads them (`prepare.ts`). Throws where a strategy takes the name
 * of a parameter that all have, or where one must be given.
 */
function ownParameters(strategies: Map<string, PreparedStrategy>, taken: z.ZodRawShape): z.ZodRawShape {
  const own: Record<string, z.core.$ZodType> = {};
  for (const kind of new Set([...strategies.values()].map((strategy) => strategy.kind))) {
    for (const [name, type] of Object.entries(kind.query)) {
      if (Object.hasOwn(taken, name)) throw new Error(`strategy ${kind.kind}: the parameter '${name}' is taken`);
      // It may stand beside the picture in a body, which is read after the query.
      const optional = z.safeParse(type, undefined).success;
      if (!optional) throw new Error(`strategy ${kind.kind}: the parameter '${name}' must be optional`);
      const known = own[name];
      own[name] = known === undefined || known === type ? type : z.union([known, type]);
    }
  }
  return Object.fromEntries(
    Object.entries(own).map(([name, type]) => {
      const { properties = {} } = z.toJSONSchema(z.object({ [name]: type }), { io: 'input' });
      return [
        name,
        z
          .any()
          .optional()
          .meta(properties[name] as Record<string, unknown>),
      ];
    }),
  );
}
