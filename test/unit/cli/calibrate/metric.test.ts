import { describe, expect, test } from 'vitest';
import { chooseMetric } from '../../../../services/cli/calibrate/metric.ts';
import type { CascadeView } from '../../../../shared/bundle/view.ts';

describe('metric', () => {
  const logs = (...shares: number[]) => Float32Array.from(shares, Math.log);
  /** Torn between two: wrong, and the expert knows better. Unsure but ahead: right, and the expert is wrong. */
  const torn = { edge: logs(0.5, 0.49, 0.01), expert: logs(0.01, 0.98, 0.01), label: 1 };
  const ahead = { edge: logs(0.45, 0.28, 0.27), expert: logs(0.01, 0.98, 0.01), label: 0 };
  const pictures = Array.from({ length: 200 }, (_, i) => (i % 4 < 2 ? torn : ahead));
  const predictions = {
    labels: Uint16Array.from(pictures, ({ label }) => label),
    held: Uint8Array.from(pictures, (_, i) => i % 2),
    rows: undefined,
    logits: new Map([
      ['generalist', pictures.map(({ edge }) => edge)],
      ['only', pictures.map(({ expert }) => expert)],
    ]),
  };
  const cascade = {
    generalist: { id: 'generalist', temperature: 1 },
    experts: [{ id: 'only', classes: [0, 1, 2], temperature: 1 }],
    gate: { measure: 'max-probability', escalates: 'below', threshold: 0.5 },
    routing: {
      k: 1,
      scoring: { method: 'top-k-mass' },
      merge: { generalistWeight: 0, expertWeight: 1 },
    },
  } as unknown as CascadeView;

  test.each([{ escalation: 0.6 }, { accuracy: 0.99 }])('the best one serves the goal %o', (goal) => {
    expect(chooseMetric('best', cascade, predictions, goal)).toBe('margin');
  });

  test('the best one is taken only if asked for', () => {
    expect(chooseMetric(undefined, cascade, predictions, {})).toBe('max-probability');
    expect(chooseMetric('entropy', cascade, predictions, {})).toBe('entropy');
  });
});
