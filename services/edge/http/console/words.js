const metrics = {
  'max-probability': 'confidence',
  margin: 'lead over the second label',
  entropy: 'certainty',
  'expected-gain': 'certainty that an expert would not help',
};

const reasons = {
  confident: 'The generalist on this device was sure enough',
  'low-confidence': 'The generalist on this device was not sure enough',
  'never-escalates': 'No expert was to be asked',
  'always-escalates': 'An expert was to be asked in any case',
};

const degradations = {
  timeout: 'it did not answer in time',
  'no-expert': 'none is there',
  overloaded: 'too much is waiting',
  'expert-error': 'it failed',
  'circuit-open': 'it has failed so often that it is left alone for a while',
};

/** Who answered and why, in sentences. */
export function describeDecision({ route, expert, degraded, decision }) {
  const { metric, value, threshold } = decision;
  const reason = decision.firstReason ?? decision.reason;
  const isGate = typeof value === 'number' && typeof threshold === 'number'; // other strategies decide otherwise
  const figures = isGate
    ? ` (${metrics[metric] ?? metric} ${value.toFixed(3)}, threshold ${threshold.toFixed(3)})`
    : '';
  const sentences = [`${reasons[reason] ?? `Reason: ${reason}`}${figures}.`];
  if (decision.reason === 'cache-hit') sentences.unshift('From the cache: the same picture was answered before.');
  if (route === 'expert') {
    const asked = expert === null ? 'Several experts were' : `The expert “${expert}” was`;
    sentences.push(`${asked} asked; the answers are merged${degraded === null ? '' : ` (${degraded})`}.`);
  } else if (degraded === null) sentences.push('It answered by itself.');
  else {
    const why = degradations[degraded] ?? 'in vain';
    sentences.push(`An expert was wanted, but ${why} (${degraded}): this is the generalist’s own answer.`);
  }
  return sentences.join(' ');
}

/** Rounds to a tenth of a percent, but never to certainty or impossibility. */
export function toPercent(share) {
  if (share >= 0.9995) return '> 99.9 %';
  if (share < 0.0005) return '< 0.1 %';
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * Rows of label, the generalist's share and the answer's, in the answer's order. A label that one of the two does not
 * list has at most the share of the last listed one: `atMost`.
 */
export function compare(before, after) {
  const labels = new Set([...after, ...before].map(({ label }) => label));
  const find = (list, label) => {
    const found = list.find((one) => one.label === label);
    return found ? { share: found.confidence } : { share: list.at(-1).confidence, atMost: true };
  };
  return [...labels].map((label) => ({ label, before: find(before, label), after: find(after, label) }));
}
