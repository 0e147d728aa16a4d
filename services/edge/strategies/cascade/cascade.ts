import { z } from 'zod';
import type { Cascade } from '../../../../shared/bundle/cascade.ts';
import { settingsKinds } from '../../../../shared/bundle/strategies.ts';
import { isSure } from '../../../../shared/policy/gate.ts';
import { decimal } from '../../../../shared/settings/decimal.ts';
import type { Strategy } from '../strategy.ts';
import { type CascadeDecision, cascadeDecision } from './decision.ts';
import { type Gate, prepareCascade } from './run.ts';

const query = {
  threshold: decimal(z.number().min(0).max(1)).optional().describe('escalate answers less confident than this'),
};

/** The generalist answers what it is sure of; an expert answers the rest. */
export const cascade: Strategy<Cascade, CascadeDecision> = {
  kind: 'cascade',
  settings: settingsKinds.cascade,
  query,
  decision: cascadeDecision,
  prepare(setup) {
    const { measure: _, threshold: __, escalates } = setup.settings.gate;
    const gate: Gate = {
      decide: (value, threshold) => (isSure(value, threshold, escalates) ? 'confident' : 'low-confidence'),
      always: (threshold) => !isSure(escalates === 'below' ? 1 - Number.EPSILON : Number.EPSILON, threshold, escalates),
    };
    return prepareCascade(setup, setup.name, gate);
  },
};

interface Referring {
  kind: string;
  /** The cascade whose models and routing it uses. */
  of: string;
}

/** A cascade whose gate ignores the picture. */
function fixed(
  kind: 'edge-only' | 'always-expert',
  reason: 'never-escalates' | 'always-escalates',
): Strategy<Referring, CascadeDecision> {
  return {
    kind,
    settings: settingsKinds[kind],
    query,
    decision: cascadeDecision,
    prepare(setup) {
      const gate: Gate = { decide: () => reason, always: () => reason === 'always-escalates' };
      return prepareCascade(setup, setup.settings.of, gate);
    },
  };
}

export const edgeOnly = fixed('edge-only', 'never-escalates');
export const alwaysExpert = fixed('always-expert', 'always-escalates');
