import { z } from 'zod';
import { BundleError } from '../../../shared/bundle/bundle-error.ts';
import type { Bundle } from '../../../shared/bundle/load.ts';
import { AppError } from '../../../shared/request/errors.ts';
import type { AnyStrategy } from './list.ts';
import type { Prepared } from './strategy.ts';

export interface PreparedStrategy extends Prepared {
  kind: AnyStrategy;
}

/** The bundle's strategies by name, the default first. Throws BundleError naming the field. */
export function prepareStrategies(bundle: Bundle, kinds: AnyStrategy[]): Map<string, PreparedStrategy> {
  const prepared = new Map<string, PreparedStrategy>();
  for (const [name, settings] of Object.entries(bundle.manifest.strategies)) {
    const kind = kinds.find((one) => one.kind === settings.kind);
    if (kind === undefined) {
      const known = kinds.map((one) => one.kind).join(', ');
      throw new BundleError(`strategies.${name}.kind: this edge knows no '${settings.kind}', it knows ${known}`);
    }
    const strategy = kind.prepare({ name, settings, bundle });
    const query = z.object(kind.query);
    prepared.set(name, { ...strategy, kind, settle: (asked) => strategy.settle(check(asked, query)) });
  }
  if (prepared.size === 0) throw new BundleError('strategies: the bundle has none');
  return prepared;
}

/** A strategy's own parameters of a query. Throws AppError `invalid-parameter`. */
function check(asked: Record<string, unknown>, query: z.ZodObject): Record<string, unknown> {
  const { data, error } = query.safeParse(asked);
  const [issue] = error?.issues ?? [];
  if (issue) throw new AppError('invalid-parameter', `querystring/${issue.path.join('/')} ${issue.message}`);
  return data as Record<string, unknown>;
}
